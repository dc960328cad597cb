//! What the rows to begin with say, field by field, and what tables answer about them.

use execmem_types::{
    Descriptor, Extent, Fill, Growth, KindSet, MAX_GRANULARITIES, PageSize, Placement, PowerOfTwo, Protection, Seal,
    Unused,
};

const WINDOW: Extent = match Extent::new(0x1000_0000, 0x100_0000) {
    Some(window) => window,
    None => panic!("no window"),
};
const PAGES: [PageSize; 2] = [PageSize::mib(2), PageSize::kib(4)];
const LINE: PowerOfTwo = PowerOfTwo::from_log2(4);

/// Every field, so that a new one needs a word here.
const CODE: Descriptor = Descriptor {
    windows: [Some(WINDOW), None, None],
    placement: Placement::BottomUp,
    granularities: [Some(PAGES[0]), Some(PAGES[1]), None, None],
    growth: Growth::Whole,
    alignment: LINE,
    quantum: LINE,
    protection: Protection::ReadExecute,
    fill: Fill::Poke,
    unused: Unused::Trap,
    seal: Seal::Never,
    is_anchored: true,
    is_shadowed: false,
    is_exclusive: false,
    is_writable_and_executable: false,
    lead: 0,
};

const CONSTANTS: Descriptor = Descriptor {
    placement: Placement::TopDown,
    protection: Protection::ReadOnly,
    unused: Unused::Zero,
    is_anchored: false,
    ..CODE
};

#[test]
fn rows_to_begin_with_are_those_of_their_class() {
    let data = Descriptor { protection: Protection::ReadWrite, fill: Fill::Direct, ..CONSTANTS };
    let sealed = Descriptor { fill: Fill::Direct, seal: Seal::Block, ..CONSTANTS };
    assert_eq!(Descriptor::code(WINDOW, &PAGES), CODE);
    assert_eq!(Descriptor::constants(WINDOW, &PAGES), CONSTANTS);
    assert_eq!(Descriptor::data(WINDOW, &PAGES), data);
    assert_eq!(Descriptor::sealed_after_init(WINDOW, &PAGES), sealed);
}

#[test]
fn of_many_pages_the_first_count_and_of_none_there_is_none() {
    let pages = [6, 5, 4, 3, 2].map(|log2| PageSize::kib(1 << log2));
    let first: Vec<_> = Descriptor::code(WINDOW, &pages).granularities().collect();
    assert_eq!(first, pages[..MAX_GRANULARITIES]);
    assert_eq!(Descriptor::code(WINDOW, &[]).granularities().count(), 0);
}

#[test]
fn a_changed_row_differs_in_what_was_changed() {
    let windows = [Some(WINDOW), Extent::new(0, 0x1000), None];
    assert_eq!(CODE.with_windows(windows), Descriptor { windows, ..CODE });
    assert!(CODE.with_windows(windows).windows().eq(windows.into_iter().flatten()));
    let [alignment, quantum] = [PowerOfTwo::from_log2(7), PowerOfTwo::from_log2(6)];
    assert_eq!(CODE.with_units(alignment, quantum), Descriptor { alignment, quantum, ..CODE });
    let page = PageSize::kib(16);
    let flipped = Descriptor {
        fill: Fill::Flip,
        granularities: [Some(page), None, None, None],
        growth: Growth::Small,
        alignment: page,
        quantum: page,
        ..CODE
    };
    assert_eq!(CODE.flipped(page), flipped);
    let wide = PageSize::kib(64);
    let aligned = Descriptor { alignment: wide, ..CODE }.flipped(page);
    assert_eq!(aligned, Descriptor { alignment: wide, ..flipped }, "a larger alignment stays");
}

execmem_types::kinds! {
    /// One of each class.
    enum Each, types in each {
        Code: Code = "code",
        Data: Data = "data",
        Constants: Constants = "constants",
        Sealed: SealedAfterInit = "sealed",
    }
}

#[test]
fn a_kind_does_what_its_class_says_and_nothing_else() {
    fn does(kind: impl KindSet) -> (bool, bool, bool) {
        (kind.is_code(), kind.is_writable(), kind.is_sealable())
    }
    assert_eq!(does(Each::Code), (true, false, false));
    assert_eq!(does(Each::Data), (false, true, false));
    assert_eq!(does(Each::Constants), (false, false, false));
    assert_eq!(does(Each::Sealed), (false, false, true));
    let written = Each::ALL.iter().map(|kind| kind.class().is_written_when_live());
    assert!(written.eq([false, true, false, true]));
}
