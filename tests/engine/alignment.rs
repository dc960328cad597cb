//! Requests for more alignment than the kind has.

use execmem::{Error, Kind, Owner, PageSize, PowerOfTwo, Request, Table};
use execmem_arch_x86::TABLE;
use execmem_tests::rig::Rig;
use execmem_tests::tables;

fn engine(table: Table) -> Rig {
    Rig::new(table)
}

/// The largest alignment that a kind can have.
fn largest(table: &Table, kind: Kind) -> PowerOfTwo {
    let descriptor = table.descriptor(table.home(kind));
    descriptor.granularities().fold(descriptor.alignment, PowerOfTwo::max)
}

#[test]
fn every_alignment_up_to_a_page_is_kept_in_every_table() {
    for named in tables::all() {
        let (name, table) = (named.name, &named.table);
        let engine = engine(*table);
        for kind in Kind::ALL {
            let mut held = Vec::new();
            let aligns = (0..).map(PowerOfTwo::from_log2).take_while(|align| *align <= largest(table, kind));
            for align in aligns {
                let request = Request::new(kind, 48).aligned(align).owned_by(Owner(7));
                let draft = engine.request(&request).unwrap_or_else(|error| panic!("{name}: {error}"));
                assert!(draft.address().is_multiple_of(align.bytes()), "{name}, {kind}: {align:?}");
                assert!(table.alignment(kind).bytes() <= 1 << draft.address().trailing_zeros());
                assert_eq!(draft.owner(), Owner(7));
                held.push(draft);
            }
            engine.audit().unwrap_or_else(|violation| panic!("{name}, {kind}: {violation:?}"));
            for draft in held {
                engine.free(draft).expect("ours");
            }
        }
        engine.shrink();
        assert_eq!(engine.stats().bytes_mapped(), 0, "{name}");
    }
}

#[test]
fn an_alignment_beyond_a_page_is_refused() {
    let engine = engine(TABLE);
    let request = Request::new(Kind::Text, 64).aligned(PowerOfTwo::from_log2(22));
    let refused = Error::BadAlignment { kind: Kind::Text.into(), align: 4 << 20, limit: 2 << 20 };
    assert_eq!(engine.request(&request).expect_err("4 MiB"), refused);
    let long = Request::new(Kind::Text, 1 << 40).aligned(PowerOfTwo::from_log2(21));
    assert!(
        matches!(engine.request(&long), Err(Error::TooLarge { len: 0x100_0000_0000, .. })),
        "its alignment is right"
    );
    assert_eq!(engine.stats().bytes_mapped(), 0);
}

#[test]
fn aligned_requests_share_a_block_with_others() {
    let engine = engine(TABLE);
    let held: Vec<_> = (0..64)
        .map(|index| Request::new(Kind::RoData, 100).aligned(PowerOfTwo::from_log2(index % 13)))
        .map(|request| engine.request(&request).expect("room"))
        .collect();
    assert_eq!(engine.stats().bytes_mapped(), 2 << 20);
    drop(held);
}

#[test]
fn small_pages_that_stand_for_a_large_one_are_aligned_too() {
    let engine = engine(TABLE);
    engine.sim.limit_pages(PageSize::kib(4));
    for log2 in 0..=21 {
        let align = PowerOfTwo::from_log2(log2);
        let draft = engine.request(&Request::new(Kind::Text, 100).aligned(align)).expect("room");
        assert!(draft.address().is_multiple_of(align.bytes()), "{align:?}");
        engine.free(draft).expect("ours");
    }
    engine.audit().expect("audit");
}
