//! A set of kinds, and a table, that are not Linux's: what a hypervisor and a tiered JIT would have.

use execmem::{Engine, Error, Extent, Owner, PageSize, PowerOfTwo, Protection};
use execmem_arch_x86::MACHINE_X86;
use execmem_sim::Sim;
use execmem_types::{Descriptor, Plan, Table, Trap, Unused};

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
