//! Kinds of our own, in a table of our own that is a constant.

use execmem::{Engine, Error, Table};
use execmem_types::{Descriptor, PageSize, Plan, PowerOfTwo, Trap, Unused};

use super::life::call;
use crate::kernel::arch::MANAGED;
use crate::kernel::code::ANSWER;
use crate::kernel::console::say;
use crate::kernel::engine::{Locks, MACHINE};
use crate::kernel::frames::{LARGE, SMALL};
use crate::kernel::memory::KernelMemory;

execmem_types::kinds! {
    /// What a hypervisor executes and keeps.
    pub(crate) enum Guest, types in guest {
        /// Translated instructions.
        Translated: Code = "translated",
        /// Filters that guests bring.
        Filters: Code = "filters",
        /// Tables of guests.
        Tables: Data = "tables",
        /// What is read and never changes once it is set up.
        Setup: SealedAfterInit = "setup",
    }
}

const PAGES: [PageSize; 2] = [LARGE, SMALL];
const SMALL_PAGES: [PageSize; 1] = [SMALL];
const LINE: PowerOfTwo = PowerOfTwo::from_log2(6);

/// A wrong row does not compile.
const OWN: Table<Guest> = Plan::new(MACHINE)
    .own(guest::Translated, Descriptor::code(MANAGED[0], &PAGES))
    .shares(guest::Filters, guest::Translated, LINE, LINE)
    .own(
        guest::Tables,
        Descriptor { unused: Unused::Pattern(Trap::word(*b"free")), ..Descriptor::data(MANAGED[0], &SMALL_PAGES) },
    )
    .own(guest::Setup, Descriptor::sealed_after_init(MANAGED[0], &PAGES))
    .table();

/// Allocates of each kind, calls a filter, finds what is where by its kind, and gives everything back.
pub(super) fn own() -> Result<(), Error> {
    let engine = Engine::<_, Guest, Locks>::with_locks(OWN, KernelMemory::new(MANAGED))?;
    let translated = engine.alloc::<guest::Translated>(1000)?;
    let tables = engine.publish(engine.alloc::<guest::Tables>(10_000)?)?;
    let mut filter = engine.alloc::<guest::Filters>(ANSWER.bytes().len() as u64)?;
    engine.write(&mut filter, 0, ANSWER.bytes())?;
    let filter = engine.publish(filter)?;
    let setup = engine.seal(engine.publish(engine.alloc::<guest::Setup>(64)?)?)?;

    let answer = call(filter.address(), 0).expect("it can be called");
    let kind_at = |address| engine.find(address).map(|found| found.kind);
    assert_eq!(kind_at(filter.extent().last()), Some(Guest::Filters));
    assert_eq!(kind_at(translated.address()), Some(Guest::Translated));
    assert_eq!(kind_at(tables.address()), Some(Guest::Tables));
    assert_eq!(kind_at(setup.address()), Some(Guest::Setup));
    assert_eq!(LARGE.round_down(filter.address()), LARGE.round_down(translated.address()), "they share a block");
    let mut unused = [0; 4];
    engine.read(&tables, 0, &mut unused)?;
    assert_eq!(&unused, b"free", "unused memory holds what the row says");
    engine.free(filter)?;
    engine.free(translated)?;
    engine.free(tables)?;
    engine.free(setup)?;
    engine.shrink();
    engine.audit().expect("the engine's records agree");
    assert_eq!(engine.stats().bytes_mapped(), 0, "everything is unmapped");
    say!("kinds: {} of our own, in a constant table: a filter found by its kind and called: {answer}", Guest::COUNT);
    Ok(())
}
