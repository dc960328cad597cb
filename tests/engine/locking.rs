//! Slow calls of the backend hold no thread up that does not need them.

use execmem::kinds::{Data, Text};
use execmem_arch_x86::TABLE;
use execmem_tests::recorder::Recorded;
use execmem_tests::rig::Rig;

const BLOCK: u64 = 2 << 20;

#[test]
fn inv_10_allocations_in_existing_blocks_pass_one_that_waits_for_memory() {
    let engine = Recorded::new(TABLE);
    let keep = engine.alloc::<Text>(64).expect("room");
    let data = engine.alloc::<Data>(64).expect("room");
    engine.recording.close();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| engine.alloc::<Text>(BLOCK));
        engine.recording.wait_for_visitor();
        // The block is being mapped. Nothing below needs it.
        for _ in 0..10 {
            let code = engine.alloc::<Text>(1000).expect("room in the first block");
            engine.free(code).expect("ours");
            let more = engine.alloc::<Data>(1000).expect("room");
            engine.free(more).expect("ours");
        }
        assert!(engine.find(0).is_none() && engine.stats().bytes_mapped() > 0);
        engine.recording.open();
        let large = waiting.join().expect("no panic").expect("its own block");
        engine.free(large).expect("ours");
    });
    engine.free(keep).expect("ours");
    engine.free(data).expect("ours");
    engine.audit().expect("audit");
}

#[test]
fn inv_10_whoever_waits_for_a_block_gets_a_range_from_it() {
    let engine = Recorded::new(TABLE);
    engine.recording.close();
    std::thread::scope(|scope| {
        let waiting: Vec<_> = (0..3).map(|_| scope.spawn(|| engine.alloc::<Text>(BLOCK / 2))).collect();
        engine.recording.wait_for_visitor();
        engine.recording.open();
        let drafts: Vec<_> =
            waiting.into_iter().map(|thread| thread.join().expect("no panic").expect("room")).collect();
        assert_eq!(engine.pool_stats(execmem::Kind::Text).counters.maps, 2, "three halves need two blocks");
        for draft in drafts {
            engine.free(draft).expect("ours");
        }
    });
}

#[test]
fn threads_that_meet_get_blocks_of_their_own_and_no_more_than_that() {
    let engine = Rig::new(TABLE);
    let held: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| (0..2_000).map(|_| engine.alloc::<Text>(1000).expect("room")).collect::<Vec<_>>()))
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("no panic")).collect()
    });
    let live: u64 = held.iter().map(|draft| draft.extent().len()).sum();
    let blocks = engine.stats().bytes_mapped() / BLOCK;
    assert!(blocks <= live.div_ceil(BLOCK) + 4, "{blocks} blocks for {live} live bytes");
    engine.audit().expect("audit");
    // Freed by a thread that allocated none of it.
    held.into_iter().for_each(|draft| engine.free(draft).expect("ours"));
    engine.shrink();
    assert_eq!(engine.stats().bytes_mapped(), 0);
}
