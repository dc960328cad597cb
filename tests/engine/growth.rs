//! Blocks: when they come, in which pages, and when they go.

use execmem::kinds::{Bpf, Text};
use execmem::{BackendError, Error, Kind, PageSize};
use execmem_arch_x86::{TABLE, X86_TAIL};
use execmem_sim::Sim;
use execmem_tests::rig::Rig;
use execmem_types::Plan;

const BLOCK: u64 = 2 << 20;

fn engine() -> Rig {
    Rig::new(TABLE)
}

fn leaves(engine: &Rig) -> Vec<(u64, u64)> {
    engine.sim.leaves().into_iter().map(|(page, count)| (page.bytes(), count)).collect()
}

#[test]
fn small_allocations_of_kinds_that_share_fill_one_block() {
    let engine = engine();
    let programs: Vec<_> = (0..6144).map(|_| engine.alloc::<Bpf>(320).expect("room")).collect();
    assert_eq!(leaves(&engine), [(BLOCK, 1)]);
    let slot = engine.alloc_kind(Kind::Kprobe, 16).expect("room");
    assert_eq!(slot.extent().len(), 16);
    assert_eq!(leaves(&engine), [(BLOCK, 1)], "6,144 programs of 320 bytes leave room in 2 MiB");
    drop((programs, slot));
}

#[test]
fn a_large_allocation_gets_blocks_in_a_row_and_leaves_its_tail_to_others() {
    let engine = engine();
    let large = engine.alloc::<Text>(2 * BLOCK + 100).expect("room");
    let small = engine.alloc::<Text>(1000).expect("room");
    assert_eq!(leaves(&engine), [(BLOCK, 3)]);
    assert_eq!(small.address(), large.extent().last() + 1);
}

#[test]
fn a_large_page_that_cannot_be_had_is_replaced_by_small_ones_and_the_others_stay_large() {
    let engine = engine();
    engine.sim.limit_large_pages(2);
    let large = engine.alloc::<Text>(3 * BLOCK - 10_000).expect("room");
    assert_eq!(leaves(&engine), [(4096, 510), (BLOCK, 2)]);
    engine.free(large).expect("ours");
    engine.shrink();
    assert!(leaves(&engine).is_empty());
    engine.audit().expect("audit");
}

#[test]
fn without_large_pages_small_blocks_do() {
    let engine = engine();
    engine.sim.limit_pages(PageSize::kib(4));
    let draft = engine.alloc::<Text>(100).expect("room");
    assert_eq!(leaves(&engine), [(4096, 16)], "not a page at a time");
    assert_eq!(engine.pool_stats(Kind::Text).counters.fallbacks, 1);
    engine.free(draft).expect("ours");
}

#[test]
fn without_memory_the_error_says_so_and_nothing_stays() {
    let sim = Sim::with_memory(TABLE.machine(), 3 * BLOCK);
    let engine = Rig::on(TABLE, sim);
    let held = engine.alloc::<Text>(2 * BLOCK).expect("room");
    let error = engine.alloc::<Text>(2 * BLOCK).expect_err("one block is left");
    let source = BackendError::OutOfMemory { len: 2 * BLOCK, page: PageSize::kib(4) };
    assert_eq!(error, Error::Backend { kind: Kind::Text.into(), source });
    assert_eq!(leaves(&engine), [(BLOCK, 2)]);
    engine.audit().expect("audit");
    engine.free(held).expect("ours");
}

#[test]
fn a_load_at_the_edge_of_a_block_maps_nothing() {
    let engine = engine();
    let _full = engine.alloc::<Text>(BLOCK).expect("room");
    for _ in 0..100 {
        let draft = engine.alloc::<Text>(64).expect("room");
        engine.free(draft).expect("ours");
    }
    assert_eq!(engine.pool_stats(Kind::Text).counters.maps, 2, "one block, and one that is kept");
}

#[test]
fn all_empty_blocks_but_one_go_at_once_and_the_last_when_asked() {
    let engine = engine();
    let drafts: Vec<_> = (0..10).map(|_| engine.alloc::<Text>(BLOCK).expect("room")).collect();
    for draft in drafts {
        engine.free(draft).expect("ours");
    }
    assert_eq!(leaves(&engine), [(BLOCK, 1)]);
    assert_eq!(engine.shrink(), BLOCK);
    assert!(leaves(&engine).is_empty());
    assert_eq!(engine.shrink(), 0);
    assert_eq!(engine.sim.bytes_in_use(), 0);
}

#[test]
fn thousands_of_small_ranges_leave_no_block_behind() {
    let engine = engine();
    let drafts: Vec<_> = (0..50_000).map(|i| engine.alloc::<Bpf>(64 + i % 7 * 64).expect("room")).collect();
    for draft in drafts {
        engine.free(draft).expect("ours");
    }
    assert!(engine.stats().bytes_mapped() <= BLOCK, "at most the spare block is kept");
    engine.shrink();
    assert_eq!(engine.stats().bytes_mapped(), 0);
}

#[test]
fn inv_11_a_load_and_unload_loop_splits_nothing_and_leaves_nothing() {
    let engine = engine();
    for round in 0..200_u64 {
        let kinds = Kind::MODULE.map(|kind| (kind, 3000 + round * 37 % 9000));
        let drafts = engine.alloc_group(&kinds).expect("room");
        for draft in drafts {
            let live = engine.publish(draft).expect("memory");
            match live.kind() {
                Kind::RoAfterInit => engine.free(engine.seal(live).expect("memory")).expect("ours"),
                _ => engine.free(live).expect("ours"),
            }
        }
    }
    engine.shrink();
    let counts = engine.sim.counts();
    assert_eq!((counts.splits, counts.merges), (0, 0));
    assert_eq!(counts.maps, counts.unmaps);
    assert!(leaves(&engine).is_empty());
}

#[test]
fn an_allocation_in_an_existing_block_changes_no_rights_and_flushes_nothing() {
    let engine = engine();
    let keep = engine.alloc::<Text>(64).expect("room");
    let before = engine.sim.counts();
    for _ in 0..100 {
        let mut draft = engine.alloc::<Text>(500).expect("room");
        engine.write(&mut draft, 0, &[0x90; 500]).expect("a draft");
        let live = engine.publish(draft).expect("memory");
        engine.free(live).expect("ours");
    }
    let after = engine.sim.counts();
    assert_eq!(after.permission_changes, before.permission_changes);
    assert_eq!(after.global_flushes, before.global_flushes);
    assert_eq!(after.splits, before.splits);
    drop(keep);
}

#[test]
fn growing_by_the_tail_maps_what_is_needed_and_makes_complete_blocks_large() {
    let engine = Rig::new(X86_TAIL);
    let first = engine.alloc::<Text>(10_000).expect("room");
    assert_eq!(leaves(&engine), [(4096, 3)]);
    let second = engine.alloc::<Text>(BLOCK).expect("room");
    assert_eq!(leaves(&engine), [(4096, 3), (BLOCK, 1)], "it continues right after the first");
    assert_eq!(engine.pool_stats(Kind::Text).counters.collapses, 1);
    let third = engine.alloc::<Text>(3 * BLOCK).expect("room");
    assert_eq!(leaves(&engine), [(4096, 3), (BLOCK, 4)]);
    engine.audit().expect("audit");
    for draft in [first, second, third] {
        engine.free(draft).expect("ours");
    }
    engine.shrink();
    assert!(leaves(&engine).is_empty());
}

#[test]
fn where_each_function_has_pages_of_its_own_blocks_grow_with_what_is_mapped() {
    let engine = Rig::new(TABLE.adjusted(Plan::flip).expect("pages of 4K"));
    let held: Vec<_> = (0..2000).map(|_| engine.alloc::<Text>(64).expect("room")).collect();
    let pool = engine.pool_stats(Kind::Text);
    // Each block an eighth of what is mapped: 8 × ln(2000) of them, and few pages more than there are functions.
    assert!((20..80).contains(&pool.blocks), "{} blocks", pool.blocks);
    assert!((2000 << 12..=2250 << 12).contains(&pool.bytes_mapped), "{} bytes", pool.bytes_mapped);
    held.into_iter().for_each(|draft| engine.free(draft).expect("ours"));
    engine.shrink();
    assert_eq!(engine.stats().bytes_mapped(), 0);
}
