//! Looking up positions beside an arena's work.

use std::sync::Arc;

use execmem_range::{Arena, Found, LiveMap};

use crate::{search, spawn};

fn arena() -> (Arc<LiveMap>, Arena) {
    let map = Arc::new(LiveMap::new(0, 1 << 12).expect("memory"));
    let mut arena = Arena::over(&map);
    arena.add(&map, 0..90).expect("span");
    (map, arena)
}

/// Allocates what is known to have room.
fn alloc(map: &LiveMap, arena: &mut Arena, len: u64, tag: u32) -> u64 {
    arena.try_alloc(map, len, 1, tag).expect("a good request").expect("room")
}

fn is_one_of(found: Option<&Found>, ranges: &[core::ops::Range<u64>]) -> bool {
    found.is_some_and(|found| ranges.contains(&found.range))
}

#[test]
fn a_look_up_beside_free_and_reuse_tells_what_was_there_at_some_time() {
    search(|| {
        let (map, mut arena) = arena();
        alloc(&map, &mut arena, 4, 0);
        let before = alloc(&map, &mut arena, 40, 0);
        let its = Arc::clone(&map);
        let writer = spawn(move || {
            arena.free(&its, before).expect("live");
            alloc(&its, &mut arena, 36, 0);
            arena
        });
        let found = map.find(10);
        assert!(found.is_none() || is_one_of(found.as_ref(), &[4..44, 4..40]), "{found:?}");
        assert!(is_one_of(map.find(3).as_ref(), &[0..4]));
        let arena = writer.join().expect("no panic");
        assert!(is_one_of(map.find(39).as_ref(), &[4..40]) && map.find(42).is_none());
        arena.audit(&map).expect("audit");
    });
}

/// A range that is cut in two while another thread looks up a position in it.
fn cut_beside_a_look_up(start: u64, len: u64, head: u64, at: u64) {
    let (map, mut arena) = arena();
    if start > 0 {
        alloc(&map, &mut arena, start, 0);
    }
    alloc(&map, &mut arena, len, 0);
    let its = Arc::clone(&map);
    let writer = spawn(move || arena.split(&its, start, head).map(|_| arena).expect("inside"));
    let (end, cut) = (start + len, start + head);
    let part = if at < cut { start..cut } else { cut..end };
    let found = map.find(at);
    assert!(is_one_of(found.as_ref(), &[start..end, part]), "{found:?}");
    writer.join().expect("no panic").audit(&map).expect("audit");
}

#[test]
fn a_range_that_is_cut_is_found_all_the_time() {
    search(|| cut_beside_a_look_up(50, 40, 9, 55));
}

#[test]
fn a_range_that_is_cut_in_a_later_word_is_found_all_the_time() {
    search(|| cut_beside_a_look_up(0, 90, 40, 70));
}
