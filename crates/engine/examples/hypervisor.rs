//! A hypervisor's kinds, table and hook: code that it emulates guests with, filters that guests bring, and their tables.
//!
//! On a simulated machine; on bare metal, memory of one's own takes its place, and nothing else changes.
#![expect(clippy::print_stdout, reason = "an example says what it did")]

use std::sync::atomic::{AtomicU64, Ordering};

use execmem::{BackendError, Engine, Extent, Hooked, Hooks, PageSize, PowerOfTwo};
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

const CODE: Extent = Extent::between(0xffff_ffff_c000_0000, 0xffff_ffff_d000_0000).expect("a window");
const DATA: Extent = Extent::between(0xffff_c000_0000_0000, 0xffff_c000_4000_0000).expect("a window");
const LINE: PowerOfTwo = PowerOfTwo::from_log2(6);

/// A wrong row does not compile: the message names the kind and the rule.
static TABLE: Table<Guest> = Plan::new(MACHINE_X86)
    .own(guest::Emulated, Descriptor::code(CODE, &[PageSize::mib(2), PageSize::kib(4)]))
    .shares(guest::Filters, guest::Emulated, LINE, LINE)
    .own(
        guest::Tables,
        Descriptor { unused: Unused::Pattern(Trap::word(*b"free")), ..Descriptor::data(DATA, &[PageSize::kib(4)]) },
    )
    .table();

/// Flushes branch predictors before a filter stands where another one may have stood.
#[derive(Debug, Default)]
struct Predictors {
    flushes: AtomicU64,
}

impl Hooks<Guest> for Predictors {
    fn before_use(&self, kind: Guest, _place: Extent) -> Result<(), BackendError> {
        if kind == Guest::Filters {
            self.flushes.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }
}

fn main() -> Result<(), execmem::Error> {
    let predictors = Predictors::default();
    let memory = Hooked { memory: Sim::new(TABLE.machine()), hooks: &predictors };
    let engine = Engine::<_, Guest>::new(TABLE, memory)?;

    let mut filter = engine.alloc::<guest::Filters>(6)?.owned_by(&engine)?;
    filter.write(0, &[0xb8, 42, 0, 0, 0, 0xc3])?; // mov eax, 42; ret
    let filter = filter.publish()?;
    let emulated = engine.alloc::<guest::Emulated>(1000)?.owned_by(&engine)?;
    let tables = engine.alloc::<guest::Tables>(10_000)?.owned_by(&engine)?.publish()?;

    let found = engine.find(filter.address() + 5).map(|found| found.kind);
    assert_eq!(found, Some(Guest::Filters));
    assert_eq!(filter.address() >> 21, emulated.address() >> 21, "filters share the block of the emulator");
    assert_eq!(predictors.flushes.load(Ordering::Relaxed), 1);
    for (kind, pool) in engine.stats().pools() {
        println!("{kind}: {} KiB mapped in {} blocks", pool.bytes_mapped >> 10, pool.blocks);
    }
    drop((filter, emulated, tables));
    assert_eq!(engine.kind_stats(Guest::Filters).live, 0, "owned handles free their memory");
    Ok(())
}
