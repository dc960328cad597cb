//! Which window an allocation lands in.

use execmem::kinds::{Data, Text};
use execmem::{Error, Extent, Kind, Table};
use execmem_tests::rig::Rig;
use execmem_tests::tables::{changed, far_window, near_window, with};

const BLOCK: u64 = 2 << 20;

fn engine(table: Table) -> Rig {
    Rig::new(table)
}

/// Text with a near window of two blocks and a far one of two.
fn near_and_far() -> Rig {
    engine(with(Kind::Text, |text| text.windows = [near_window(2), far_window(2), None]))
}

#[test]
fn inv_03_a_far_window_is_used_only_when_the_near_one_is_full() {
    let engine = near_and_far();
    let near: Vec<_> = (0..4).map(|_| engine.alloc::<Text>(BLOCK / 2).expect("room")).collect();
    assert!(near.iter().all(|draft| !draft.is_far()));
    let far = engine.alloc::<Text>(64).expect("room");
    assert!(far.is_far() && far_window(2).expect("window").covers(far.extent()));
    assert_eq!(engine.kind_stats(Kind::Text).far_allocations, 1);
    for draft in near {
        engine.free(draft).expect("ours");
    }
    let again = engine.alloc::<Text>(64).expect("room");
    assert!(!again.is_far(), "a near hole beats a far one, though the far one fits as well");
    engine.free(again).expect("ours");
    engine.free(far).expect("ours");
    engine.audit().expect("audit");
}

#[test]
fn inv_03_a_near_hole_between_two_live_ranges_beats_the_far_window() {
    let engine = near_and_far();
    let mut drafts: Vec<_> = (0..64).map(|_| engine.alloc::<Text>(BLOCK / 16).expect("room")).collect();
    let far = drafts.split_off(32);
    assert!(far.iter().all(|draft| draft.is_far()) && drafts.iter().all(|draft| !draft.is_far()));
    let middle = drafts.swap_remove(7);
    let at = middle.address();
    engine.free(middle).expect("ours");
    assert_eq!(engine.alloc::<Text>(BLOCK / 16).expect("room").address(), at);
}

#[test]
fn an_exact_fit_at_the_end_of_a_window_succeeds() {
    let engine = engine(with(Kind::Text, |text| text.windows = [near_window(1), None, None]));
    let draft = engine.alloc::<Text>(BLOCK).expect("all of it");
    assert_eq!(Some(draft.extent()), near_window(1));
    engine.free(draft).expect("ours");
    assert!(matches!(engine.alloc::<Text>(BLOCK + 1), Err(Error::TooLarge { limit: BLOCK, .. })));
}

#[test]
fn a_window_that_starts_off_a_block_is_used_from_the_first_whole_one_and_by_small_pages() {
    let window = Extent::new(0xffff_ffff_c012_3000, 2 * BLOCK);
    let engine = engine(with(Kind::Text, |text| text.windows = [window, None, None]));
    let first = engine.alloc::<Text>(BLOCK).expect("room");
    assert_eq!(first.address(), 0xffff_ffff_c020_0000);
    let rest = engine.alloc::<Text>(BLOCK / 2).expect("small pages behind it");
    assert!(window.expect("window").covers(rest.extent()));
    assert!(engine.pool_stats(Kind::Text).leaves().count() == 2, "both sizes of pages");
    engine.audit().expect("audit");
}

#[test]
fn exhaustion_names_the_windows_tried_and_the_largest_free_range() {
    let engine = near_and_far();
    let mut drafts = Vec::new();
    let error = loop {
        match engine.alloc::<Text>(BLOCK / 4 + 64) {
            Ok(draft) => drafts.push(draft),
            Err(error) => break error,
        }
    };
    let Error::Exhausted { kind, windows: 2, largest, .. } = error else { panic!("{error}") };
    assert!(kind == Kind::Text && largest <= BLOCK / 4);
    assert_eq!(
        engine.alloc_group(&[(Kind::Data, 100), (Kind::Text, BLOCK / 2)]),
        Err(Error::Exhausted { kind: Kind::Text.into(), len: BLOCK / 2, windows: 2, largest })
    );
    assert_eq!(engine.kind_stats(Kind::Data).live, 0, "all or nothing");
}

#[test]
fn kinds_that_share_a_window_grow_towards_each_other() {
    let narrow = |d: &mut execmem_types::Descriptor| d.windows = [near_window(2), None, None];
    let table = changed(with(Kind::Text, narrow), Kind::Data, narrow);
    let engine = engine(table);
    let (code, data) = (engine.alloc::<Text>(64).expect("room"), engine.alloc::<Data>(64).expect("room"));
    let window = near_window(2).expect("window");
    assert_eq!(code.address(), window.start());
    assert!(data.address() >= window.start() + BLOCK);
    assert!(matches!(engine.alloc::<Data>(BLOCK), Err(Error::Exhausted { .. })), "text has the other block");
}

#[test]
fn sizes_that_make_no_sense_are_errors() {
    let engine = near_and_far();
    assert_eq!(engine.alloc::<Text>(0), Err(Error::ZeroSize { kind: Kind::Text.into() }));
    for len in [4 * BLOCK, 1 << 40, u64::MAX] {
        assert!(matches!(engine.alloc::<Text>(len), Err(Error::TooLarge { .. })), "{len:#x}");
    }
    assert_eq!(engine.stats().bytes_mapped(), 0);
}

#[test]
fn parts_of_a_cut_allocation_start_where_their_kind_may() {
    let engine = engine(execmem_arch_x86::X86_KASAN);
    let mut first = engine.alloc::<Text>(100_000).expect("room");
    let second = engine.split(&mut first, 100).expect("inside");
    assert_eq!((first.extent().len(), second.address() % 0x8000), (0x8000, 0));
    engine.truncate(&mut first, 100).expect("inside");
    assert_eq!(first.extent().len(), 128, "what is freed needs no alignment");
    engine.free(first).expect("ours");
    engine.free(second).expect("ours");
    engine.audit().expect("audit");
}

#[test]
fn code_is_far_where_branches_do_not_reach_and_not_where_its_window_is_not_the_first() {
    let window = |start| Extent::new(start, BLOCK);
    let windows = [window(0xffff_ffff_c000_0000), window(0xffff_ffff_d000_0000), far_window(1)];
    let engine = engine(with(Kind::Text, |text| text.windows = windows));
    let far: Vec<_> = (0..3).map(|_| engine.alloc::<Text>(BLOCK).expect("room").is_far()).collect();
    assert_eq!(far, [false, false, true]);
    assert!(!engine.alloc::<Data>(64).expect("room").is_far(), "data branches nowhere");
}
