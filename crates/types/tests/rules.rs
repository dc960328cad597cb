//! Every rule of a table has a bad table that breaks it and only it.

use execmem_types::{
    CacheRule, Descriptor, Extent, Features, Fill, Growth, InstructionSet, Isa, Kind, Limits, Machine, Others,
    PageSize, PatchRule, Placement, Plan, PowerOfTwo, Protection, Reach, Row, Rule, Seal, Table, Trap, Unused, kinds,
};

const fn extent(start: u64, end: u128) -> Option<Extent> {
    Extent::between(start, end)
}

const INSTRUCTIONS: InstructionSet = InstructionSet {
    isa: Isa::Other,
    address_bits: 64,
    trap: Trap::byte(0xcc),
    reach: Reach::Relative { base: 5, min: i32::MIN as i64, max: i32::MAX as i64 },
    call: None,
    jump: None,
    site: None,
    veneers: &[],
    veneer_alignment: PowerOfTwo::from_log2(0),
    nops: &[],
    breakpoint: &[0xcc],
    landing_pad: &[],
    patch: PatchRule::BYTES,
    cache: CacheRule { data_line: None, instruction_line: None, others: Others::Coherent, fresh: Others::Coherent },
    errata: &[],
};

const MACHINE: Machine = Machine {
    name: "test",
    instructions: &INSTRUCTIONS,
    features: Features::NONE,
    leaves: [Some(PageSize::kib(4)), Some(PageSize::mib(2)), None, None, None, None, None, None],
    anchor: extent(0x1_0000_0000, 0x1_1000_0000),
    limits: Limits::NONE,
};

const CODE: Descriptor = Descriptor {
    windows: [extent(0x1_4000_0000, 0x1_5000_0000), extent(0x1000_0000_0000, 0x1001_0000_0000), None],
    placement: Placement::BottomUp,
    granularities: [Some(PageSize::mib(2)), Some(PageSize::kib(4)), None, None],
    growth: Growth::Whole,
    alignment: PowerOfTwo::from_log2(6),
    quantum: PowerOfTwo::from_log2(4),
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

const DATA: Descriptor = Descriptor {
    protection: Protection::ReadWrite,
    fill: Fill::Direct,
    unused: Unused::Zero,
    is_anchored: false,
    ..CODE
};
const CONSTANTS: Descriptor = Descriptor { protection: Protection::ReadOnly, fill: Fill::Poke, ..DATA };
const SEALED: Descriptor = Descriptor { protection: Protection::ReadOnly, seal: Seal::Block, ..DATA };

const LINE: PowerOfTwo = PowerOfTwo::from_log2(4);

fn shares(with: Kind) -> Row {
    Row::sharing(with, LINE, LINE)
}

const GOOD: Table = Plan::new(MACHINE)
    .own(kinds::Text, CODE)
    .own(kinds::Data, DATA)
    .own(kinds::RoData, CONSTANTS)
    .own(kinds::RoAfterInit, SEALED)
    .shares(kinds::InitText, kinds::Text, LINE, LINE)
    .shares(kinds::InitData, kinds::Data, LINE, LINE)
    .shares(kinds::InitRoData, kinds::RoData, LINE, LINE)
    .shares(kinds::Kprobe, kinds::Text, LINE, LINE)
    .shares(kinds::Ftrace, kinds::Text, LINE, LINE)
    .shares(kinds::Bpf, kinds::Text, LINE, LINE)
    .table();

/// Breaks a rule: changes the machine, a descriptor in a row of its own, a row, or is a table of another set.
enum Break {
    Machine(fn(&mut Machine)),
    Descriptor(Kind, fn(&mut Descriptor)),
    Row(Kind, Row),
    Other(Option<Rule>),
}

fn broken(what: &Break) -> Option<Rule> {
    let refused = GOOD.adjusted(|plan| match what {
        Break::Machine(change) => change(&mut plan.machine),
        Break::Descriptor(kind, change) => change(plan.own_mut(*kind).expect("a row of its own")),
        Break::Row(kind, row) => plan.set(*kind, *row),
        Break::Other(_) => {}
    });
    match what {
        Break::Other(rule) => *rule,
        _ => refused.err().map(|error| error.rule),
    }
}

execmem_types::kinds! {
    /// Many kinds of code.
    pub(crate) enum Many, types in many {
        A: Code = "a", B: Code = "b", C: Code = "c", D: Code = "d", E: Code = "e", F: Code = "f", G: Code = "g",
        H: Code = "h", I: Code = "i", J: Code = "j", K: Code = "k", L: Code = "l", M: Code = "m", N: Code = "n",
        O: Code = "o", P: Code = "p",
    }
}

execmem_types::kinds! {
    /// Two kinds with one name.
    pub(crate) enum Twins, types in twins {
        One: Code = "one",
        Other: Code = "one",
    }
}

execmem_types::kinds! {
    /// One kind more than a set can have.
    enum Crowd, types in crowd {
        A: Code = "a", B: Code = "b", C: Code = "c", D: Code = "d", E: Code = "e", F: Code = "f", G: Code = "g", H: Code = "h",
        I: Code = "i", J: Code = "j", K: Code = "k", L: Code = "l", M: Code = "m", N: Code = "n", O: Code = "o", P: Code = "p",
        Q: Code = "q", R: Code = "r", S: Code = "s", T: Code = "t", U: Code = "u", V: Code = "v", W: Code = "w", X: Code = "x",
        Y: Code = "y", Z: Code = "z", AA: Code = "aa", AB: Code = "ab", AC: Code = "ac", AD: Code = "ad", AE: Code = "ae", AF: Code = "af",
        AG: Code = "ag",
    }
}

/// A way to break each rule. The match has an arm for every rule, so a new one needs a test to compile.
fn way_to_break(rule: Rule) -> Break {
    use Break::{Descriptor, Machine, Other, Row as BadRow};
    use Kind::{Data, InitText, RoAfterInit, RoData, Text};
    match rule {
        Rule::SetHasKinds => {
            let twins = Plan::<Twins>::from_fn(MACHINE, |_| Some(Row::Own(CODE)));
            Other(twins.checked().err().map(|error| error.rule))
        }
        Rule::HasRow => {
            let missing = Plan::from_fn(MACHINE, |kind: Many| (kind != Many::P).then_some(Row::Own(CODE)));
            Other(missing.checked().err().map(|error| error.rule))
        }
        Rule::MachineHasLeaves => Machine(|m| m.leaves.swap(0, 1)),
        Rule::MachineShadowFits => Machine(|m| m.limits.shadow_scale_log2 = u8::MAX),
        Rule::MachineAddressBits => Machine(|m| m.instructions = &InstructionSet { address_bits: 48, ..INSTRUCTIONS }),
        Rule::SharesOnce => BadRow(InitText, shares(Kind::Bpf)),
        Rule::SharesNotExclusive => Descriptor(Text, |d| d.is_exclusive = true),
        Rule::SharesLikeWithLike => BadRow(RoData, shares(Text)),
        Rule::SharedAlignment => BadRow(InitText, Row::sharing(Text, LINE, PowerOfTwo::from_log2(5))),
        Rule::HasWindow => Descriptor(Text, |d| d.windows.swap(1, 2)),
        Rule::WindowInAddressSpace => {
            Machine(|m| m.instructions = &InstructionSet { address_bits: 32, ..INSTRUCTIONS })
        }
        Rule::WindowHoldsBlock => Descriptor(Data, |d| d.windows[0] = Extent::new(0x1_4000_0001, 0x1ffe)),
        Rule::WindowInReach => Descriptor(Text, |d| d.windows.swap(0, 1)),
        Rule::HasGranularity => Descriptor(Text, |d| d.granularities.swap(1, 2)),
        Rule::GranularityIsLeaf => Descriptor(Text, |d| d.granularities[0] = Some(PageSize::kib(64))),
        Rule::GranularityDescends => Descriptor(Text, |d| d.granularities.swap(0, 1)),
        Rule::QuantumDividesAlignment => Descriptor(Text, |d| d.quantum = PowerOfTwo::from_log2(7)),
        Rule::QuantumDividesPage => {
            Descriptor(Text, |d| (d.alignment, d.quantum) = (PageSize::kib(8), PageSize::kib(8)))
        }
        Rule::AlignmentDividesBlock => Descriptor(Text, |d| d.alignment = PageSize::mib(4)),
        Rule::ShadowIsWholePages => Descriptor(Text, |d| d.is_shadowed = true),
        Rule::SegmentIsOneRight => Machine(|m| m.limits.executable_segment = Some(PageSize::mib(256))),
        Rule::FlipOwnsPages => Descriptor(Text, |d| d.fill = Fill::Flip),
        Rule::CodeIsExecutable => Descriptor(Text, |d| d.protection = Protection::ReadOnly),
        Rule::WritableStaysWritable => Descriptor(RoData, |d| d.protection = Protection::ReadWrite),
        Rule::DirectIsWritable => Descriptor(Text, |d| d.fill = Fill::Direct),
        Rule::SealableIsSealed => Descriptor(RoAfterInit, |d| d.seal = Seal::Never),
        Rule::CodeTrapsWhenUnused => Descriptor(Text, |d| d.unused = Unused::Zero),
        Rule::TailHasTwoSizes => Descriptor(Text, |d| (d.growth, d.granularities[1]) = (Growth::Tail, None)),
        Rule::LeadIsAligned => Descriptor(Text, |d| d.lead = 8),
        Rule::LegacyIsLegacy => Descriptor(Text, |d| d.is_writable_and_executable = true),
        other => panic!("no way to break {other:?}"),
    }
}

#[test]
fn inv_08_every_rule_is_enforced_and_named() {
    for &rule in Rule::ALL {
        assert_eq!(broken(&way_to_break(rule)), Some(rule), "{}", rule.text());
    }
    assert!(!Rule::ALL.is_empty());
}

#[test]
fn errors_name_machine_row_and_rule() {
    let error = GOOD.adjusted(|plan| plan.set(Kind::Bpf, shares(Kind::InitText))).expect_err("chained");
    let want = "table of test, row `bpf`: a row shares with a row of its own, not with one that shares";
    assert_eq!(error.to_string(), want);
    let error = GOOD.adjusted(|plan| plan.machine.leaves.swap(0, 1)).expect_err("leaves");
    let want = "table of test: a machine has at least one leaf size, and they are listed smallest first";
    assert_eq!(error.to_string(), want);
}

#[test]
fn a_machine_without_pages_is_an_error_and_flips_to_one() {
    let without = |flips: bool| {
        GOOD.adjusted(|plan| {
            plan.machine.leaves = [None; 8];
            if flips {
                plan.flip();
            }
        })
    };
    for flips in [false, true] {
        assert_eq!(without(flips).map_err(|error| error.rule), Err(Rule::MachineHasLeaves));
    }
}

#[test]
fn a_set_of_thirty_three_kinds_is_refused() {
    let crowd = Plan::<Crowd>::from_fn(MACHINE, |_| Some(Row::Own(CODE)));
    assert_eq!(crowd.checked().err().map(|error| error.rule), Some(Rule::SetHasKinds));
}

#[test]
fn all_kinds_of_a_set_may_share_the_blocks_of_one() {
    let row = |kind: Many| if kind == Many::A { Row::Own(CODE) } else { Row::sharing(Many::A, LINE, LINE) };
    assert_eq!(Plan::from_fn(MACHINE, |kind| Some(row(kind))).checked().err(), None);
}

#[test]
fn unused_memory_of_a_pattern_is_never_executed() {
    let pattern = |kind| {
        GOOD.adjusted(|plan| {
            if let Some(own) = plan.own_mut(kind) {
                own.unused = Unused::Pattern(Trap::byte(0xfe));
            }
        })
    };
    assert!(pattern(Kind::Data).is_ok() && pattern(Kind::RoData).is_ok() && pattern(Kind::RoAfterInit).is_ok());
    assert_eq!(pattern(Kind::Text).map_err(|error| error.rule), Err(Rule::CodeTrapsWhenUnused));
}

#[test]
fn rows_with_shadow_have_large_blocks_or_a_large_alignment() {
    let shadowed = |change: fn(&mut Descriptor)| {
        GOOD.adjusted(|plan| {
            if let Some(descriptor) = plan.own_mut(Kind::Data) {
                descriptor.is_shadowed = true;
                change(descriptor);
            }
            plan.set(Kind::InitData, Row::sharing(Kind::Data, PageSize::kib(32), PageSize::kib(4)));
        })
    };
    assert!(shadowed(|d| d.granularities[1] = None).is_ok());
    assert!(shadowed(|d| d.alignment = PageSize::kib(32)).is_ok());
    let alone = |d: &mut Descriptor| {
        (d.alignment, d.granularities) = (PageSize::kib(32), [Some(PageSize::kib(4)), None, None, None])
    };
    assert!(shadowed(alone).is_ok(), "the alignment of shadow may exceed the granularity");
    assert_eq!(shadowed(|d| d.alignment = PageSize::kib(16)).map_err(|e| e.rule), Err(Rule::ShadowIsWholePages));
}

#[test]
fn code_and_data_may_touch_where_a_segment_ends_and_not_before() {
    let segmented = |data: u64| {
        GOOD.adjusted(|plan| {
            plan.machine.limits.executable_segment = Some(PageSize::mib(256));
            for (kind, own) in plan.owns_mut() {
                let start = if kind.is_code() { 0x1_4000_0000 } else { data };
                own.windows = [Extent::new(start, 0x1000_0000), None, None];
            }
        })
    };
    assert!(segmented(0x1_5000_0000).is_ok() && segmented(0x1_3000_0000).is_ok());
    let refused = segmented(0x1_4fff_f000).expect_err("one page in the segment of text");
    assert_eq!((refused.row, refused.rule), (Some(Kind::Data.into()), Rule::SegmentIsOneRight));
}

#[test]
fn a_window_out_of_the_segment_of_the_anchor_is_out_of_reach() {
    let windowed = |window: Option<Extent>| {
        const WORDS: InstructionSet = InstructionSet {
            reach: Reach::Segment { base: 4, size_log2: 28 },
            trap: Trap::word([0, 0, 0, 0xd]),
            ..INSTRUCTIONS
        };
        GOOD.adjusted(|plan| {
            (plan.machine.instructions, plan.machine.anchor) = (&WORDS, extent(0x1_4000_0000, 0x1_4100_0000));
            if let Some(text) = plan.own_mut(Kind::Text) {
                text.windows = [window, None, None];
            }
        })
    };
    assert!(windowed(extent(0x1_4100_0000, 0x1_5000_0000)).is_ok(), "the last delay slot lies in the window too");
    let refused = |window| windowed(window).map_err(|error| error.rule).err();
    assert_eq!(refused(extent(0x1_4fff_0000, 0x1_5000_1000)), Some(Rule::WindowInReach));
    assert_eq!(refused(extent(0x1_3f00_0000, 0x1_4000_0000)), Some(Rule::WindowInReach), "near, in another segment");
}

#[test]
fn reach_is_that_of_instructions_not_of_bytes() {
    let window = |start: u64| {
        const WORDS: InstructionSet = InstructionSet {
            reach: Reach::Relative { base: 0, min: -0x800_0000, max: 0x7ff_fffc },
            trap: Trap::word([0; 4]),
            ..INSTRUCTIONS
        };
        GOOD.adjusted(|plan| {
            (plan.machine.instructions, plan.machine.anchor) = (&WORDS, extent(0x1_4000_0000, 0x1_4200_0000));
            if let Some(text) = plan.own_mut(Kind::Text) {
                text.windows = [extent(start, 0x1_4000_0000), None, None];
            }
        })
    };
    assert!(window(0x1_3a00_0000).is_ok(), "a box of exactly 128 MiB around both");
    assert!(window(0x1_39ff_f000).is_err(), "a page more");
}

#[test]
fn shared_rows_use_the_blocks_of_another_and_their_own_sizes() {
    assert_eq!(GOOD.home(Kind::Bpf), Kind::Text);
    assert_eq!(GOOD.alignment(Kind::Bpf).bytes(), 16);
    assert_eq!(GOOD.descriptor(Kind::Bpf), GOOD.descriptor(Kind::Text));
    assert_eq!(GOOD.shared_quantum(Kind::Data).bytes(), 16);
}

#[test]
fn a_window_that_is_one_block_holds_it_and_a_byte_less_does_not() {
    let windowed = |start: u64, len: u64| {
        let windows = [Extent::new(start, len), None, None];
        GOOD.adjusted(|plan| plan.own_mut(Kind::Data).expect("a row of its own").windows = windows)
    };
    assert!(windowed(0x2_0000_0000, 0x1000).is_ok(), "the smallest page is enough");
    for (start, len) in [(0x2_0000_0000, 0xfff), (0x2_0000_0001, 0x1fff - 1), (0x2_0000_0800, 0x1000)] {
        assert_eq!(
            windowed(start, len).map_err(|error| error.rule),
            Err(Rule::WindowHoldsBlock),
            "{start:#x} {len:#x}"
        );
    }
    assert!(windowed(0x2_0000_0001, 0x1fff).is_ok());
}

#[test]
fn every_window_of_code_keeps_out_of_segments_of_every_window_of_data() {
    let free = |index: u64| Extent::new(0x2_0000_0000 + index * 0x1000_0000, 0x100_0000);
    let placed = |code: usize, data: usize| {
        GOOD.adjusted(|plan| {
            plan.machine.limits.executable_segment = Some(PageSize::mib(256));
            for (kind, own) in plan.owns_mut() {
                let first = if kind.is_code() { 0 } else { 4 };
                own.windows = [free(first), free(first + 1), free(first + 2)];
                own.is_anchored = false;
                // The segment that both have, if there is one.
                if let Some(both) = own.windows.get_mut(if kind.is_code() { code } else { data }) {
                    *both = free(12);
                }
            }
        })
    };
    assert!(placed(9, 9).is_ok(), "no segment is shared");
    for (code, data) in (0..3).flat_map(|code| (0..3).map(move |data| (code, data))) {
        assert_eq!(placed(code, data).map_err(|error| error.rule), Err(Rule::SegmentIsOneRight), "{code} {data}");
    }
}

#[test]
fn the_last_branch_of_a_window_starts_an_instruction_before_its_end() {
    const WORDS: InstructionSet = InstructionSet {
        reach: Reach::Relative { base: 0, min: -0x800, max: 0x7fc },
        trap: Trap::word([0; 4]),
        ..INSTRUCTIONS
    };
    let machine = Machine { instructions: &WORDS, ..MACHINE };
    let connects = |b: u64, len| machine.connects(extent(0, 4).expect("a word"), Extent::new(b, len).expect("words"));
    assert!(connects(0x7fc, 4) && !connects(0x800, 4) && !connects(0x7fc, 8));
}

#[test]
fn only_what_arrives_through_another_mapping_is_poked() {
    assert!(GOOD.can_poke(Kind::Text) && GOOD.can_poke(Kind::Bpf) && !GOOD.can_poke(Kind::Data));
    let flipped = GOOD.adjusted(Plan::flip).expect("pages of its own");
    assert!(!flipped.can_poke(Kind::Text));
}

#[test]
fn bad_tables_do_not_compile() {
    trybuild::TestCases::new().compile_fail("tests/compile-fail/*.rs");
}
