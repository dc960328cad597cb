//! What an architecture crate provides.

use crate::{Code, Machine, Table, TableError};

/// An architecture: facts, tables, and what a boot may change about them.
///
/// # Laws
///
/// Everything is a constant or a pure function, and nothing depends on the machine this is compiled for: every
/// architecture is compiled and tested on every host. The engine never sees this trait; it sees the [`Table`].
pub trait Arch {
    /// The facts.
    const MACHINE: Machine;

    /// The table a kernel starts from.
    const TABLE: Table;

    /// Instructions, and rules for patching them.
    const CODE: Code;

    /// What is known at boot only: where the kernel lies, random offsets, features of the processor.
    type Boot;

    /// The table of this boot. A pure function: the same facts give the same table.
    ///
    /// # Errors
    ///
    /// The first rule that the adjusted table breaks: facts that do not go together are refused here, not found out by
    /// the first allocation.
    fn boot(table: Table, boot: &Self::Boot) -> Result<Table, TableError>;
}

/// A table under its name.
#[derive(Debug, Clone, Copy)]
pub struct NamedTable {
    /// The name, as in `execmem tables --arch`.
    pub name: &'static str,
    /// What is special about it.
    pub about: &'static str,
    /// The table.
    pub table: Table,
    /// Instructions of the machine, and rules for patching.
    pub code: Code,
}

/// Where a number is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Source {
    /// Which number.
    pub of: &'static str,
    /// Manual or file.
    pub source: &'static str,
}
