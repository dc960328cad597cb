//! A set of kinds, and a table, that are not Linux's: what a hypervisor and a tiered JIT would have.

use execmem::{Engine, Error, Extent, Owner, PageSize, PowerOfTwo, Protection};
use execmem_arch_x86::MACHINE_X86;
use execmem_sim::Sim;
use execmem_types::{Descriptor, Plan, Row, Table, Trap, Unused};

execmem_types::kinds! {
    /// What a hypervisor executes and keeps.
    pub enum Guest, types in guest {
        /// Emulated instructions.
        Emulated: Code = "emulated",
        /// Filters that guests bring.
        Filters: Code = "filters",
        /// Tables of guests.
        Tables: Data = "tables",
    }
}

execmem_types::kinds! {
    /// As many kinds as a set can have.
    pub enum Crowd, types in crowd {
        A: Code = "a", B: Code = "b", C: Code = "c", D: Code = "d", E: Code = "e", F: Code = "f", G: Code = "g", H: Code = "h",
        I: Code = "i", J: Code = "j", K: Code = "k", L: Code = "l", M: Code = "m", N: Code = "n", O: Code = "o", P: Code = "p",
        Q: Code = "q", R: Code = "r", S: Code = "s", T: Code = "t", U: Code = "u", V: Code = "v", W: Code = "w", X: Code = "x",
        Y: Code = "y", Z: Code = "z", AA: Code = "aa", AB: Code = "ab", AC: Code = "ac", AD: Code = "ad", AE: Code = "ae",
        AF: Code = "af",
    }
}

const WINDOW: Extent = match Extent::new(0xffff_ffff_c000_0000, 256 << 20) {
    Some(extent) => extent,
    None => panic!("not empty"),
};

/// Unused memory of guests says so.
const STAMP: Trap = Trap::word(*b"free");

const LINE: PowerOfTwo = PowerOfTwo::from_log2(6);

const GUEST: Table<Guest> = Plan::new(MACHINE_X86)
    .own(guest::Emulated, Descriptor::code(WINDOW, &[PageSize::mib(2), PageSize::kib(4)]))
    .shares(guest::Filters, guest::Emulated, LINE, LINE)
    .own(guest::Tables, Descriptor { unused: Unused::Pattern(STAMP), ..Descriptor::data(WINDOW, &[PageSize::kib(4)]) })
    .table();

fn engine() -> (Engine<Sim, Guest>, execmem_sim::Control) {
    let sim = Sim::new(GUEST.machine());
    let control = sim.control();
    (Engine::new(GUEST, sim).expect("memory"), control)
}

#[test]
fn kinds_of_ones_own_are_allocated_found_counted_and_freed() {
    let (engine, control) = engine();
    let code = engine.alloc::<guest::Emulated>(100).expect("room");
    let filter = engine.alloc_for(Owner(7), Guest::Filters, 100).expect("room");
    let tables = engine.publish(engine.alloc::<guest::Tables>(5000).expect("room")).expect("memory");
    let found = engine.find(filter.address() + 99).expect("live");
    assert_eq!((found.kind, found.owner, found.extent), (Guest::Filters, Owner(7), filter.extent()));
    assert_eq!(engine.find(code.address()).map(|found| found.kind), Some(Guest::Emulated));
    assert_eq!(filter.extent().len(), 128, "its own quantum, in the block of the other");
    let names: Vec<_> = engine.stats().pools().map(|(kind, pool)| (kind.name(), pool.bytes_mapped)).collect();
    assert_eq!(names, [("emulated", 2 << 20), ("tables", 8 << 10)]);
    assert_eq!(engine.kind_stats(Guest::Filters).bytes_requested, 100);
    let (start, mut bytes) = (tables.address(), [0; 8]);
    control.read(start, &mut bytes).expect("mapped");
    assert_eq!(&bytes, b"freefree", "the pattern of the row");
    let filter = filter.retype::<guest::Filters>().expect("a filter");
    let live = engine.publish(filter).expect("memory");
    engine.patch(&live, 0, &[0xc3]).expect("code");
    engine.free(live).expect("ours");
    engine.free(code).expect("ours");
    engine.free(tables).expect("ours");
    engine.audit_unused().expect("each pool holds its own pattern");
    engine.shrink();
    engine.audit().expect("audit");
    assert_eq!(engine.stats().bytes_mapped(), 0);
}

#[test]
fn all_kinds_of_the_largest_set_share_blocks_and_are_told_apart() {
    let row = |kind| match kind {
        Crowd::AF => Row::Own(Descriptor::code(WINDOW, &[PageSize::mib(2)])),
        _ => Row::sharing(Crowd::AF, LINE, LINE),
    };
    let table = Plan::from_fn(MACHINE_X86, |kind| Some(row(kind))).checked().expect("a good table");
    let engine: Engine<Sim, Crowd> = Engine::new(table, Sim::new(table.machine())).expect("memory");
    let owners = || [Owner::NONE, Owner(u16::MAX)].into_iter();
    let kinds = || Crowd::ALL.iter().flat_map(|kind| owners().map(move |owner| (*kind, owner)));
    let drafts: Vec<_> = kinds().map(|(kind, owner)| engine.alloc_for(owner, kind, 100).expect("room")).collect();
    assert_eq!(engine.stats().bytes_mapped(), 2 << 20, "one block");
    for (draft, (kind, owner)) in drafts.iter().zip(kinds()) {
        let found = engine.find(draft.extent().last()).expect("live");
        assert_eq!((found.kind, found.owner, found.extent), (kind, owner, draft.extent()));
    }
    engine.audit().expect("audit");
    drafts.into_iter().for_each(|draft| engine.free(draft).expect("ours"));
    assert!(Crowd::ALL.iter().all(|kind| engine.kind_stats(*kind).live == 0));
}

#[test]
fn errors_and_handles_name_the_kinds_of_the_set() {
    let (engine, control) = engine();
    assert_eq!(engine.alloc::<guest::Filters>(0), Err(Error::ZeroSize { kind: Guest::Filters.into() }));
    control.refuse_from(0);
    let error = engine.alloc::<guest::Tables>(100).expect_err("refused");
    assert!(error.to_string().starts_with("tables: "), "{error}");
    control.refuse_nothing();
    let draft = engine.alloc::<guest::Filters>(100).expect("room").erase();
    assert!(format!("{draft:?}").starts_with("Draft filters 0x"), "{draft:?}");
    let draft = draft.retype::<guest::Emulated>().expect_err("a filter");
    engine.free(draft).expect("ours");
}

#[test]
fn a_table_of_ones_own_is_adjusted_at_run_time_with_the_same_words() {
    let moved = Extent::new(WINDOW.start() + (64 << 20), 32 << 20);
    let table = GUEST.adjusted(|plan| {
        if let Some(row) = plan.own_mut(Guest::Emulated) {
            *row = row.with_windows([moved, None, None]);
        }
    });
    let table = table.expect("every rule");
    let engine = Engine::new(table, Sim::new(table.machine())).expect("memory");
    let code = engine.alloc::<guest::Filters>(100).expect("room");
    assert!(moved.expect("a window").covers(code.extent()));
    assert_eq!(engine.table().descriptor(Guest::Filters).protection, Protection::ReadExecute);
    engine.free(code).expect("ours");
}

/// As many kinds as a set can have.
mod thirty_two {
    execmem_types::kinds! {
        /// Numbers.
        pub enum Many, types in many {
            /// Number 0.
            K00: Code = "k00",
            /// Number 1.
            K01: Code = "k01",
            /// Number 2.
            K02: Code = "k02",
            /// Number 3.
            K03: Code = "k03",
            /// Number 4.
            K04: Code = "k04",
            /// Number 5.
            K05: Code = "k05",
            /// Number 6.
            K06: Code = "k06",
            /// Number 7.
            K07: Code = "k07",
            /// Number 8.
            K08: Code = "k08",
            /// Number 9.
            K09: Code = "k09",
            /// Number 10.
            K10: Code = "k10",
            /// Number 11.
            K11: Code = "k11",
            /// Number 12.
            K12: Code = "k12",
            /// Number 13.
            K13: Code = "k13",
            /// Number 14.
            K14: Code = "k14",
            /// Number 15.
            K15: Code = "k15",
            /// Number 16.
            K16: Code = "k16",
            /// Number 17.
            K17: Code = "k17",
            /// Number 18.
            K18: Code = "k18",
            /// Number 19.
            K19: Code = "k19",
            /// Number 20.
            K20: Code = "k20",
            /// Number 21.
            K21: Code = "k21",
            /// Number 22.
            K22: Code = "k22",
            /// Number 23.
            K23: Code = "k23",
            /// Number 24.
            K24: Code = "k24",
            /// Number 25.
            K25: Code = "k25",
            /// Number 26.
            K26: Code = "k26",
            /// Number 27.
            K27: Code = "k27",
            /// Number 28.
            K28: Code = "k28",
            /// Number 29.
            K29: Code = "k29",
            /// Number 30.
            K30: Code = "k30",
            /// Number 31.
            K31: Code = "k31",
        }
    }
}

#[test]
fn thirty_two_kinds_with_windows_of_their_own_keep_apart_while_threads_use_them() {
    use thirty_two::Many;
    let window = |kind: Many| {
        Extent::new(WINDOW.start() + (Many::ALL.iter().position(|of| *of == kind)? as u64) * (8 << 20), 8 << 20)
    };
    let row = |kind| Some(Row::Own(Descriptor::code(window(kind)?, &[PageSize::mib(2), PageSize::kib(4)])));
    let table = Plan::<Many>::from_fn(MACHINE_X86, row).checked().expect("every rule");
    let engine = Engine::<Sim, Many>::new(table, Sim::new(table.machine())).expect("memory");
    std::thread::scope(|scope| {
        for thread in 0..4_usize {
            let engine = &engine;
            scope.spawn(move || {
                for round in 0..20_u64 {
                    let kinds = Many::ALL.iter().skip(thread % 2);
                    let held: Vec<_> = kinds.map(|kind| (*kind, engine.alloc_kind(*kind, 64 + round * 3000))).collect();
                    for (kind, draft) in held {
                        let draft = draft.expect("room");
                        assert!(window(kind).expect("a window").covers(draft.extent()), "{kind}");
                        assert_eq!(engine.find(draft.address()).map(|found| found.kind), Some(kind));
                        engine.free(draft).expect("ours");
                    }
                }
            });
        }
    });
    engine.audit().expect("audit");
    engine.audit_unused().expect("traps");
}
