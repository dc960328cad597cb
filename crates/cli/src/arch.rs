//! Every table there is, by name.

use anyhow::{Context as _, Result};
use execmem_types::{NamedTable, Source};

/// The tables of one architecture crate.
struct Arch {
    tables: &'static [NamedTable],
    sources: &'static [Source],
}

const ARCHES: &[Arch] = &[Arch { tables: execmem_arch_x86::TABLES, sources: execmem_arch_x86::SOURCES }];

/// Every table.
pub(crate) fn all() -> impl Iterator<Item = &'static NamedTable> {
    ARCHES.iter().flat_map(|arch| arch.tables)
}

/// The table of a name.
pub(crate) fn table(name: &str) -> Result<&'static NamedTable> {
    all().find(|table| table.name == name).with_context(|| {
        let names: Vec<_> = all().map(|table| table.name).collect();
        format!("no table {name}; there are {}", names.join(", "))
    })
}

/// Where the numbers of a table are from.
pub(crate) fn sources(name: &str) -> &'static [Source] {
    let arch = ARCHES.iter().find(|arch| arch.tables.iter().any(|table| table.name == name));
    arch.map_or(&[], |arch| arch.sources)
}
