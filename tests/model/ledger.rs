//! Looking up positions beside an arena's work.

use std::sync::Arc;

use execmem_range::{Arena, Found, Ledger, Request};

use crate::{search, spawn};

fn arena() -> Arena {
    let mut arena = Arena::over(Arc::new(Ledger::new(0, 1 << 12).expect("memory")));
    arena.add(0..90).expect("span");
    arena
}

fn is_one_of(found: Option<&Found>, ranges: &[core::ops::Range<u64>]) -> bool {
    found.is_some_and(|found| ranges.contains(&found.range))
}

#[test]
fn a_look_up_beside_free_and_reuse_tells_what_was_there_at_some_time() {
    search(|| {
        let mut arena = arena();
        let neighbour = arena.alloc(&Request::new(4)).expect("room");
        let before = arena.alloc(&Request::new(40)).expect("room");
        let ledger = Arc::clone(arena.ledger());
        let writer = spawn(move || {
            arena.free(before.start).expect("live");
            let after = arena.alloc(&Request::new(36)).expect("room");
            (arena, after)
        });
        let found = ledger.find(10);
        assert!(found.is_none() || is_one_of(found.as_ref(), &[4..44, 4..40]), "{found:?}");
        assert!(is_one_of(ledger.find(3).as_ref(), &[neighbour.clone()]));
        let (arena, after) = writer.join().expect("no panic");
        assert!(is_one_of(ledger.find(39).as_ref(), &[after]) && ledger.find(42).is_none());
        arena.audit().expect("audit");
    });
}

#[test]
fn a_range_that_is_cut_is_found_all_the_time() {
    search(|| {
        let mut arena = arena();
        arena.alloc(&Request::new(50)).expect("room");
        arena.alloc(&Request::new(40)).expect("room");
        let ledger = Arc::clone(arena.ledger());
        let writer = spawn(move || arena.split(50, 9).map(|_| arena).expect("inside"));
        let found = ledger.find(55);
        assert!(is_one_of(found.as_ref(), &[50..90, 50..59]), "{found:?}");
        writer.join().expect("no panic").audit().expect("audit");
    });
}
