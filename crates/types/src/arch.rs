//! What the crates of architectures list.

use crate::Table;

/// A table under its name.
#[derive(Debug, Clone, Copy)]
pub struct NamedTable {
    /// The name, as in `execmem tables --arch`.
    pub name: &'static str,
    /// What is special about it.
    pub about: &'static str,
    /// The table.
    pub table: Table,
}

/// Where a number is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Source {
    /// Which number.
    pub of: &'static str,
    /// Manual or file.
    pub source: &'static str,
}
