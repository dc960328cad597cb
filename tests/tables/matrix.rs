//! Every table, as it is and without text poking, × every kind × both ends of the windows: each request goes exactly
//! where a search of all places says.

use execmem::{Kind, PageSize, Table};
use execmem_sim::Random;
use execmem_tests::rig::Rig;
use execmem_tests::tables::{all, changed, named};
use execmem_types::{Fill, NamedTable, Placement};

use super::blocks::{Small, scaled};

/// Requests in each cell.
const REQUESTS: u32 = 24;

/// Small, about a page, about a block, exactly blocks.
fn len(random: &mut Random, block: u64) -> u64 {
    match random.below(8) {
        0..=2 => 1 + random.below(500),
        3 | 4 => 1 + random.below(block / 8),
        5 => 1 + random.below(block),
        6 => block,
        _ => block + 1 + random.below(block),
    }
}

/// One cell: mostly requests of one kind, some of others beside it.
fn cell(table: &Table, kind: Kind, placement: Placement, seed: u64) -> Result<(), String> {
    let mut small = Small::new(scaled(table, placement));
    let mut random = Random::new(seed | 1);
    let block = table.descriptor(kind).granularities().next().expect("a granularity").bytes();
    for step in 0..REQUESTS {
        if !small.held.is_empty() && random.below(3) == 0 {
            let index = random.below(small.held.len() as u64);
            small.free(usize::try_from(index).expect("small"));
        } else {
            let other = Kind::ALL[usize::try_from(random.below(10)).expect("small")];
            let wanted = if random.below(4) == 0 { other } else { kind };
            small.alloc(wanted, len(&mut random, block)).map_err(|why| format!("step {step}: {why}"))?;
        }
        small.engine.audit().map_err(|broken| format!("step {step}: {broken}"))?;
    }
    small.clear()
}

fn row(name: &str, table: &Table) {
    for (number, kind) in Kind::ALL.into_iter().enumerate() {
        for placement in [Placement::BottomUp, Placement::TopDown] {
            let seed = name.bytes().fold(number as u64 + 1, |seed, byte| seed.wrapping_mul(257) + u64::from(byte));
            if let Err(why) = cell(table, kind, placement, seed) {
                panic!("{name}, {kind}, {placement:?}: {why}");
            }
        }
    }
}

fn poking(table: &NamedTable) -> bool {
    Kind::ALL.into_iter().any(|kind| table.table.can_poke(kind))
}

#[test]
fn inv_03_every_request_of_every_table_goes_where_a_search_of_all_places_says() {
    all().for_each(|table| row(table.name, &table.table));
    assert!(all().count() >= 15);
}

#[test]
fn inv_03_the_same_holds_on_machines_without_text_poking() {
    let mut rows = 0;
    for table in all().filter(|table| poking(table)) {
        let flips = table.table.without_poking().expect("every rule");
        assert!(Kind::ALL.into_iter().all(|kind| flips.descriptor(kind).fill != Fill::Poke));
        row(table.name, &flips);
        rows += 1;
    }
    assert!(rows >= 15);
}

/// The sizes of the blocks a kind gets for one small request.
fn first_block(name: &str, kind: Kind) -> PageSize {
    let table = named(name).table;
    let engine = Rig::new(table);
    engine.alloc_kind(kind, 100).map(drop).expect("room");
    engine.sim.leaves().keys().copied().next().expect("a leaf")
}

#[test]
fn text_is_in_the_largest_leaves_that_serve_it() {
    assert_eq!(first_block("powerpc-8xx", Kind::Text), PageSize::kib(512));
    assert_eq!(first_block("arm64-64k", Kind::Text), PageSize::mib(2), "32 contiguous entries, not 512M of a PMD");
    assert_eq!(first_block("arm64-16k", Kind::Text), PageSize::mib(2), "128 contiguous entries, not 32M of a PMD");
    assert_eq!(first_block("riscv64", Kind::Text), PageSize::mib(2));
    assert_eq!(first_block("riscv64", Kind::Kprobe), PageSize::kib(64), "Svnapot");
}

#[test]
fn riscv_takes_svnapot_blocks_where_large_ones_do_not_fit_or_cannot_be_had() {
    let table = named("riscv64").table;
    let sim = execmem_sim::Sim::new(table.machine());
    sim.limit_pages(PageSize::kib(64));
    let engine = Rig::on(table, sim);
    let _draft = engine.alloc_kind(Kind::Text, 100).expect("room");
    let leaves: Vec<_> = engine.sim.leaves().into_iter().collect();
    assert_eq!(leaves, [(PageSize::kib(64), 16)]);
    let narrow = changed(table, Kind::Text, |text| {
        text.windows[0] = execmem::Extent::new(0xffff_ffff_7fe1_0000, 0x1f_0000);
    });
    let engine = Rig::new(narrow);
    let _draft = engine.alloc_kind(Kind::Text, 100).expect("room");
    assert_eq!(engine.sim.leaves().keys().copied().collect::<Vec<_>>(), [PageSize::kib(64)]);
}
