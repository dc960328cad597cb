//! The machine around the memory: the direct map, nodes, page sources, translation caches.

use execmem_tests::rig::Rig;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};

use execmem::{Backend as _, Draft, Extent, Kind, Live, PageSize, Protection};
use execmem_arch_x86::{MACHINE_X86, TABLE};
use execmem_sim::{Alias, Huge, Merge, Options, Processor, Sim, TlbArray, VirtualArea, Vmalloc};
use execmem_types::{Mapping, Rights, Trap};

const SMALL: PageSize = PageSize::kib(4);
const LARGE: PageSize = PageSize::mib(2);
const HUGE: PageSize = PageSize::mib(1024);

fn options() -> Options {
    Options { bytes_per_node: 4 << 30, direct_leaf: Some(HUGE), merge: Merge::Explicit, ..Options::default() }
}

fn window() -> Extent {
    Extent::new(0xffff_ffff_c000_0000, 1 << 30).expect("window")
}

fn mapping(offset: u64, page: PageSize, protection: Protection) -> Mapping {
    let extent = window().part(offset, page.bytes()).expect("a leaf");
    Mapping { rights: Rights::ALL, ..Mapping::new(extent, page, protection, Trap::ZERO) }
}

fn area(len: u64, huge: Huge) -> VirtualArea {
    VirtualArea { len, huge, protection: Protection::ReadWrite, unused: Trap::ZERO, node: Some(0) }
}

/// The kinds of a module, loaded and published.
fn module(engine: &Rig, round: u64) -> Vec<Live> {
    let wanted = Kind::MODULE.map(|kind| (kind, 3000 + round * 37 % 90_000));
    let drafts: Vec<Draft> = engine.alloc_group(&wanted).expect("room");
    drafts.into_iter().map(|draft| engine.publish(draft).expect("memory")).collect()
}

fn unload(engine: &Rig, module: Vec<Live>) {
    module.into_iter().for_each(|part| engine.free(part).expect("ours"));
}

#[test]
fn inv_11_the_direct_map_is_as_before_after_ten_thousand_cycles() {
    for merge in [Merge::Count, Merge::Scan, Merge::Explicit] {
        let engine = Rig::on(TABLE, Sim::with_options(&MACHINE_X86, &Options { merge, ..options() }));
        let before = engine.sim.direct_map();
        let mut held = Vec::new();
        for round in 0..10_000 {
            held.push(module(&engine, round));
            if held.len() > 20 {
                let index = usize::try_from(round * 7 % 20).expect("small");
                unload(&engine, held.swap_remove(index));
            }
        }
        assert_eq!(engine.sim.wx_bytes(), 0, "the alias is read-only where the mapping is executable");
        held.into_iter().for_each(|module| unload(&engine, module));
        engine.shrink();
        let counts = engine.sim.counts();
        assert_eq!(engine.sim.direct_map(), before, "{merge:?}");
        assert_eq!((counts.direct_splits, counts.splits), (counts.direct_merges, counts.merges));
        assert_eq!(counts.direct_drifts, 0);
    }
}

#[test]
fn parallel_loads_leave_the_direct_map_as_it_was() {
    let engine = Rig::on(TABLE, Sim::with_options(&MACHINE_X86, &options()));
    let before = engine.sim.direct_map();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let engine = &engine;
            scope.spawn(move || {
                let mut held = Vec::new();
                for round in 0..500 {
                    held.push(module(engine, round * 11 + thread));
                    if held.len() > 10 {
                        unload(engine, held.swap_remove(usize::try_from(round % 10).expect("small")));
                    }
                }
                held.into_iter().for_each(|module| unload(engine, module));
            });
        }
    });
    engine.audit().expect("audit");
    engine.shrink();
    assert_eq!(engine.sim.direct_map(), before);
    assert_eq!((engine.sim.wx_bytes(), engine.sim.bytes_in_use()), (0, 0));
}

#[test]
fn inv_12_walks_beside_splits_and_merges_end_in_leaves_of_their_frame() {
    let machine = Options { merge: Merge::Scan, ..options() };
    let engine = Rig::on(TABLE, Sim::with_options(&MACHINE_X86, &machine));
    let tables = engine.sim.direct_tables().expect("a direct map");
    let frames = machine.bytes_per_node >> 12;
    let is_over = AtomicBool::new(false);
    let sizes: BTreeSet<u64> = std::thread::scope(|scope| {
        let walkers = [3_u64, 5].map(|step| {
            let (tables, is_over) = (&tables, &is_over);
            scope.spawn(move || {
                let (mut frame, mut sizes) = (0, BTreeSet::new());
                while !is_over.load(Ordering::Relaxed) {
                    // Most walks go to where memory is taken from first.
                    frame = (frame + step * 97) % if frame % 8 == 0 { frames } else { 1 << 13 };
                    let leaf = tables.walk(frame).expect("all of memory is mapped");
                    assert!((leaf.first..leaf.first + leaf.frames).contains(&frame));
                    sizes.insert(leaf.frames);
                }
                sizes
            })
        });
        let leaves = || (0..frames).step_by(1 << 9).filter_map(|frame| tables.walk(frame)).map(|leaf| leaf.frames);
        for round in 0..300 {
            assert!(leaves().all(|frames| frames == 1 << 18), "whole before every round");
            let held = module(&engine, round * 100);
            assert!(leaves().any(|frames| frames == 1 << 9), "split while something is loaded");
            unload(&engine, held);
            engine.shrink();
        }
        is_over.store(true, Ordering::Relaxed);
        walkers.map(|walker| walker.join().expect("no walk reads a freed table")).into_iter().flatten().collect()
    });
    assert!(sizes.is_subset(&BTreeSet::from([1 << 9, 1 << 18])), "{sizes:?}");
    assert!(engine.sim.counts().direct_merges >= 300);
    assert_eq!(tables.walk(frames), None);
}

#[test]
fn rights_reach_the_alias_as_in_linux() {
    let sim = Sim::with_options(&MACHINE_X86, &options());
    let text = mapping(0, LARGE, Protection::ReadExecute);
    sim.map(&text).expect("memory");
    let physical = sim.translate(text.extent.start()).expect("mapped").physical;
    assert_eq!(sim.direct_leaf(physical), Some((LARGE, Alias::ReadOnly)));
    sim.protect(text.extent, Protection::ReadOnly).expect("mapped");
    assert_eq!(sim.direct_leaf(physical), Some((LARGE, Alias::ReadOnly)), "no-execute stays away");
    sim.protect(text.extent, Protection::ReadWrite).expect("mapped");
    assert_eq!(sim.direct_leaf(physical), Some((HUGE, Alias::ReadWrite)));
    let part = text.extent.part(4096, 4096).expect("a page");
    sim.protect(part, Protection::ReadOnly).expect("mapped");
    assert_eq!(sim.direct_leaf(physical + 4096), Some((SMALL, Alias::ReadOnly)));
    assert_eq!((sim.counts().splits, sim.counts().direct_splits), (1, 3), "1G twice and 2M once");
}

#[test]
fn a_write_behind_the_trackers_back_is_noticed() {
    let sim = Sim::with_options(&MACHINE_X86, &Options { merge: Merge::Count, ..options() });
    let page = mapping(0, SMALL, Protection::ReadOnly);
    sim.map(&page).expect("memory");
    let physical = sim.translate(page.extent.start()).expect("mapped").physical;
    sim.write_behind(physical + 8192, Alias::Absent);
    assert_eq!(sim.direct_map().drifted, 1);
    sim.unmap(page.extent).expect("mapped");
    assert_eq!((sim.counts().direct_merges, sim.counts().direct_drifts), (0, 1));
    assert_eq!(sim.direct_leaf(physical + 8192), Some((SMALL, Alias::Absent)), "it was not merged away");
}

#[test]
fn an_entry_that_must_stay_small_holds_up_merging_until_it_need_not() {
    let sim = Sim::with_options(&MACHINE_X86, &Options { merge: Merge::Scan, ..options() });
    sim.pin_small(5 << 12);
    let page = mapping(0, SMALL, Protection::ReadOnly);
    for merges in [0, 2] {
        sim.map(&page).expect("memory");
        sim.unmap(page.extent).expect("mapped");
        assert_eq!(sim.counts().direct_merges, merges);
        sim.unpin_small(5 << 12);
    }
}

#[test]
fn one_large_page_that_cannot_be_had_costs_one_block() {
    for (huge, expected) in
        [(Huge::AllOrNothing, (0, 4 * 512)), (Huge::PerBlock, (2, 2 * 512)), (Huge::Never, (0, 4 * 512))]
    {
        let sim = Sim::new(&MACHINE_X86);
        let mut areas = Vmalloc::new(&sim, window());
        sim.limit_large_pages(2);
        let extent = areas.alloc(&sim, &area(4 << 21, huge)).expect("room");
        let leaves = sim.leaves();
        let count = |size| leaves.get(&size).copied().unwrap_or(0);
        assert_eq!((count(LARGE), count(SMALL)), expected, "{huge:?}");
        for offset in (0..extent.len()).step_by(4096) {
            let found = sim.translate(extent.start() + offset).expect("mapped");
            assert!(found.physical.is_multiple_of(4096) && found.start <= extent.start() + offset);
        }
        areas.free(&sim, extent, false).expect("mapped");
        assert_eq!(sim.bytes_in_use(), 0);
    }
}

#[test]
fn a_large_page_of_each_node_is_wanted_before_large_pages_are_used() {
    let sim = Sim::with_options(&MACHINE_X86, &Options { nodes: 2, ..options() });
    let mut areas = Vmalloc::new(&sim, window());
    let spread = |len| VirtualArea { node: None, ..area(len, Huge::AllOrNothing) };
    areas.alloc(&sim, &spread(1 << 21)).expect("room");
    assert_eq!(sim.leaves().get(&LARGE), None, "1M for each of two nodes");
    areas.alloc(&sim, &spread(2 << 21)).expect("room");
    assert_eq!(sim.leaves()[&LARGE], 2);
    let own = areas.alloc(&sim, &VirtualArea { node: Some(1), ..area(1 << 21, Huge::AllOrNothing) }).expect("room");
    assert_eq!((sim.leaves()[&LARGE], sim.node_of(own.start())), (3, Some(1)));
}

#[test]
fn addresses_translate_through_leaves_of_every_size() {
    let window = Extent::new(0xffff_c900_0000_0000, 4 << 30).expect("window");
    let sim = Sim::new(&MACHINE_X86);
    for (offset, page) in [(0, HUGE), (1 << 30, LARGE), ((1 << 30) + (1 << 21), SMALL)] {
        let extent = window.part(offset, page.bytes()).expect("a leaf");
        sim.map(&Mapping { extent, page, ..mapping(0, SMALL, Protection::ReadWrite) }).expect("memory");
        let found = sim.translate(extent.last()).expect("mapped");
        assert_eq!((found.start, found.size), (extent.start(), page));
        assert_eq!(found.physical % page.bytes(), page.bytes() - 1, "leaves are aligned in memory too");
    }
}

#[test]
fn inv_06_no_translation_outlives_the_rights_it_was_made_of() {
    let array = TlbArray { entries: 64, ways: 4, pages: vec![SMALL, LARGE] };
    let processor = Processor { instruction: vec![array.clone()], data: vec![array], second: Vec::new() };
    let sim = Sim::with_options(&MACHINE_X86, &Options { processor, processors: 2, ..options() });
    let block = mapping(0, LARGE, Protection::ReadExecute);
    sim.map(&block).expect("memory");
    let all = [Protection::ReadOnly, Protection::ReadExecute, Protection::ReadWrite, Protection::NoAccess];
    for protection in all {
        assert!(sim.load_on(1, block.extent.start()), "before {protection}");
        sim.fetch_on(0, block.extent.start() + 9000);
        sim.protect(block.extent.part(8192, 4096).expect("a page"), protection).expect("mapped");
        assert_eq!(sim.stale_translations(block.extent), 0);
    }
    assert!(!sim.load_on(0, block.extent.start() + 8192) && !sim.fetch_on(0, block.extent.start() + 8192));
    sim.unmap(block.extent).expect("mapped");
    assert_eq!(sim.stale_translations(block.extent), 0);
    assert!(!sim.fetch_on(1, block.extent.start()));
}

#[test]
fn a_cache_of_unmapped_frames_feeds_the_engine_and_others_and_goes_away_whole() {
    let machine = Options { is_unmapped: true, direct_leaf: Some(LARGE), ..options() };
    let engine = Rig::on(TABLE, Sim::with_options(&MACHINE_X86, &machine));
    let sim = &engine.sim;
    let before = sim.direct_map();
    let modules: Vec<_> = (0..50).map(|round| module(&engine, round * 1000)).collect();
    let secret = sim.take_secret_pages(700);
    assert_eq!((secret.len(), sim.counts().direct_splits), (700, 0), "units leave as one leaf");
    assert!(secret.iter().all(|page| sim.direct_leaf(*page) == Some((LARGE, Alias::Absent))));
    assert_eq!(sim.wx_bytes(), 0);
    sim.give_secret_pages(&secret);
    modules.into_iter().for_each(|module| unload(&engine, module));
    engine.shrink();
    let (all, free) = sim.cached_bytes();
    assert_eq!((all, sim.shrink_cache()), (free, all));
    assert_eq!((sim.direct_map(), sim.free_bytes()), (before, 4 << 30));
    engine.audit().expect("audit");
}

#[test]
fn secret_pages_without_the_cache_split_the_direct_map() {
    let sim = Sim::with_options(&MACHINE_X86, &Options { direct_leaf: Some(LARGE), merge: Merge::Never, ..options() });
    sim.fragment(8, 3);
    let secret = sim.take_secret_pages(700);
    let splits = sim.counts().direct_splits;
    assert!((2..=9).contains(&splits), "{splits}");
    sim.give_secret_pages(&secret);
    assert_eq!(sim.direct_map().large_bytes, (4 << 30) - splits * LARGE.bytes(), "and it stays split");
}

#[test]
fn fragmented_memory_still_has_every_page() {
    let sim = Sim::with_options(&MACHINE_X86, &options());
    sim.fragment(100, 5);
    let free = sim.free_bytes();
    assert!(free < (4 << 30) - (80 << 20) && free > (4 << 30) - (120 << 20), "about half of each unit: {free:#x}");
    let pages = sim.take_pages(1000);
    assert_eq!(sim.free_bytes(), free - 1000 * 4096);
    sim.give_pages(&pages);
    assert_eq!(sim.free_bytes(), free);
}
