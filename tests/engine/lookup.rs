//! Looking up addresses: without a lock, and right beside whatever happens.

use execmem_tests::rig::Rig;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};

use execmem::kinds::{Data, Text};
use execmem::{Extent, Found, Kind, Owner, PageSize, Protection};
use execmem_arch_x86::TABLE;
use execmem_sim::Sim;

const BLOCK: u64 = 2 << 20;

fn engine() -> Rig {
    Rig::new(TABLE)
}

#[test]
fn every_address_tells_kind_and_owner() {
    let engine = engine();
    let mut drafts = Vec::new();
    for (number, kind) in (0..).zip(Kind::ALL.iter().cycle().take(60)) {
        drafts.push(engine.alloc_for(Owner(number % 4), *kind, 100 + u64::from(number) * 997).expect("room"));
    }
    for draft in &drafts {
        let expected = Found { extent: draft.extent(), kind: draft.kind(), owner: draft.owner() };
        for address in [draft.address(), draft.address() + draft.extent().len() / 2, draft.extent().last()] {
            assert_eq!(engine.find(address), Some(expected));
        }
    }
    for draft in drafts {
        let address = draft.address();
        engine.free(draft).expect("ours");
        assert_eq!(engine.find(address), None);
    }
}

#[test]
fn addresses_that_are_nobodys_are_not_found() {
    let engine = engine();
    let draft = engine.alloc::<Text>(64).expect("room");
    let others = [
        0,
        1,
        u64::MAX,
        draft.extent().last() + 1,
        draft.address() ^ 1 << 50,
        draft.address() ^ 1 << 63,
        draft.address() - 1,
    ];
    for address in others {
        assert_eq!(engine.find(address), None, "{address:#x}");
    }
}

#[test]
fn donated_memory_is_found_too() {
    let slack = Extent::new(0xffff_ffff_8120_0000, BLOCK).expect("a page");
    let sim = Sim::new(TABLE.machine());
    sim.map_kernel(slack, PageSize::mib(2), Protection::ReadExecute).expect("memory");
    let engine = Rig::on(TABLE, sim);
    engine.donate(Kind::Text, slack, PageSize::mib(2)).expect("nobody's");
    let draft = engine.alloc_for(Owner(7), Kind::Text, 300).expect("room");
    assert!(slack.covers(draft.extent()));
    let found = engine.find(draft.address() + 299).expect("live");
    assert_eq!((found.extent, found.kind, found.owner), (draft.extent(), Kind::Text, Owner(7)));
    assert_eq!(engine.find(slack.last()), None);
}

#[test]
fn an_allocation_that_stays_is_found_whatever_else_comes_and_goes() {
    let engine = &engine();
    let is_done = &AtomicBool::new(false);
    let kept: Vec<_> = (1..40)
        .map(|number| {
            let extra = engine.alloc::<Text>(number * 100).expect("room");
            let kept = engine.alloc_for(Owner(u16::try_from(number % 3).expect("small")), Kind::Text, number * 77);
            engine.free(extra).expect("ours");
            kept.expect("room")
        })
        .collect();
    // On a busy machine one side could be done before the other begins.
    let start = &Barrier::new(3);
    std::thread::scope(|scope| {
        let churner = |seed| {
            start.wait();
            churn(engine, seed);
        };
        let churners: Vec<_> = (0..2_u64).map(|seed| scope.spawn(move || churner(seed))).collect();
        let reader = scope.spawn(|| {
            let mut looks = 0_u64;
            start.wait();
            while looks == 0 || !is_done.load(Ordering::Relaxed) {
                for draft in &kept {
                    let found = engine.find(draft.extent().last()).expect("it is live");
                    assert_eq!((found.extent, found.owner), (draft.extent(), draft.owner()));
                    looks += 1;
                }
            }
            looks
        });
        churners.into_iter().for_each(|churner| churner.join().expect("churner"));
        is_done.store(true, Ordering::Relaxed);
        assert!(reader.join().expect("reader") > 0);
    });
    engine.audit().expect("audit");
}

/// Allocates and frees, and checks that what it holds is found.
fn churn(engine: &Rig, seed: u64) {
    let mut held = Vec::new();
    for step in 0..3_000_u64 {
        let number = (step + seed).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
        let draft = match number % 3 {
            0 => engine.alloc::<Data>(number % 5000 + 1).expect("room").erase(),
            1 => engine.alloc::<Text>(number % BLOCK / 64 + 1).expect("room").erase(),
            _ => engine.alloc_for(Owner(9), Kind::Bpf, number % 3000 + 1).expect("room"),
        };
        assert_eq!(engine.find(draft.address()).map(|found| found.extent), Some(draft.extent()));
        held.push(draft);
        if held.len() > 50 {
            let gone = held.swap_remove(usize::try_from(number % 50).expect("small"));
            engine.free(gone).expect("ours");
        }
    }
    held.into_iter().for_each(|draft| engine.free(draft).expect("ours"));
}
