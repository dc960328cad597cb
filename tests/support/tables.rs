//! Tables for the tests: real ones, changed where a test needs it.

use execmem::{Extent, Kind, Table};
use execmem_arch_x86::TABLE;
use execmem_types::{Descriptor, NamedTable};

/// Every table of every architecture.
pub fn all() -> impl Iterator<Item = &'static NamedTable> {
    let own = [
        execmem_arch_x86::TABLES,
        execmem_arch_arm64::TABLES,
        execmem_arch_powerpc_8xx::TABLES,
        execmem_arch_riscv::TABLES,
    ];
    own.into_iter().flatten().chain(execmem_arch_others::tables())
}

/// The table of a name.
///
/// # Panics
///
/// If there is none.
#[must_use]
pub fn named(name: &str) -> &'static NamedTable {
    all().find(|named| named.name == name).expect(name)
}

/// The first x86 table with the descriptor of one kind changed.
///
/// # Panics
///
/// If the change breaks a rule.
#[must_use]
pub fn with(kind: Kind, change: impl FnOnce(&mut Descriptor)) -> Table {
    changed(TABLE, kind, change)
}

/// A table with the descriptor of one kind changed.
///
/// # Panics
///
/// If the kind has no row of its own, or the change breaks a rule.
#[must_use]
pub fn changed(table: Table, kind: Kind, change: impl FnOnce(&mut Descriptor)) -> Table {
    let adjusted = table.adjusted(|plan| match plan.own_mut(kind) {
        Some(descriptor) => change(descriptor),
        None => panic!("{kind} has no row of its own"),
    });
    adjusted.expect("every rule")
}

/// A window of `blocks` large blocks at the start of the module window.
#[must_use]
pub fn near_window(blocks: u64) -> Option<Extent> {
    Extent::new(0xffff_ffff_c000_0000, blocks << 21)
}

/// A window of `blocks` large blocks far away.
#[must_use]
pub fn far_window(blocks: u64) -> Option<Extent> {
    Extent::new(0xffff_c900_0000_0000, blocks << 21)
}
