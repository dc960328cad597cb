//! Every table there is, by name.

use anyhow::{Context as _, Result};
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use execmem_types::{NamedTable, Source};

/// The tables of one file of facts, and where its numbers are from.
type Arch = (&'static [NamedTable], &'static [Source]);

/// Architectures with a crate of their own.
const ARCHES: &[Arch] = &[
    (execmem_arch_x86::TABLES, execmem_arch_x86::SOURCES),
    (execmem_arch_arm64::TABLES, execmem_arch_arm64::SOURCES),
    (execmem_arch_powerpc_8xx::TABLES, execmem_arch_powerpc_8xx::SOURCES),
    (execmem_arch_riscv::TABLES, execmem_arch_riscv::SOURCES),
];

fn arches() -> impl Iterator<Item = &'static Arch> {
    ARCHES.iter().chain(execmem_arch_others::ARCHES)
}

/// Every table.
pub(crate) fn all() -> impl Iterator<Item = &'static NamedTable> {
    arches().flat_map(|(tables, _)| *tables)
}

/// The table that grows by the tail, if an architecture has both.
pub(crate) fn tail_of(name: &str) -> Option<&'static NamedTable> {
    all().find(|table| table.name.strip_suffix("-tail") == Some(name))
}

/// Other names by which people and `uname -m` know a machine. With pages of another size than the first, the table is
/// that of the size.
const ALIASES: &[(&str, &[(u64, &str)])] = &[
    ("x86_64", &[(4 << 10, "x86")]),
    ("x86-64", &[(4 << 10, "x86")]),
    ("amd64", &[(4 << 10, "x86")]),
    ("i686", &[(4 << 10, "x86-32")]),
    ("i586", &[(4 << 10, "x86-32")]),
    ("aarch64", ARM64),
    ("arm64", ARM64),
    ("riscv", &[(4 << 10, "riscv64")]),
    ("armv7l", &[(4 << 10, "arm")]),
    ("loongarch64", &[(16 << 10, "loongarch"), (4 << 10, "loongarch-4k")]),
    ("mips64", &[(4 << 10, "mips")]),
    ("s390x", &[(4 << 10, "s390")]),
];
const ARM64: &[(u64, &str)] = &[(4 << 10, "arm64-4k"), (16 << 10, "arm64-16k"), (64 << 10, "arm64-64k")];

/// The table of a name or alias.
pub(crate) fn table(name: &str) -> Result<&'static NamedTable> {
    table_of(name, None)
}

/// The table of a name or alias, for pages of a size if that is known.
pub(crate) fn table_of(name: &str, page_bytes: Option<u64>) -> Result<&'static NamedTable> {
    let alias = ALIASES.iter().find(|(alias, _)| *alias == name).and_then(|(_, tables)| {
        let of_size = tables.iter().find(|(size, _)| Some(*size) == page_bytes).or(tables.first());
        of_size.map(|(_, table)| *table)
    });
    let wanted = alias.unwrap_or(name);
    all().find(|table| table.name == wanted).with_context(|| {
        let names: Vec<_> = all().map(|table| table.name).collect();
        format!("no table {}; there are {}", name.escape_debug(), names.join(", "))
    })
}

/// Reads the argument of an option: the names of all tables are its possible values, and the aliases are taken too.
pub(crate) fn value_parser() -> impl TypedValueParser<Value = &'static NamedTable> {
    let value = |table: &'static NamedTable| {
        let names = ALIASES.iter().filter(|(_, tables)| tables.first().is_some_and(|(_, first)| *first == table.name));
        PossibleValue::new(table.name).help(table.about).aliases(names.map(|(alias, _)| *alias))
    };
    PossibleValuesParser::new(all().map(value)).try_map(|name| table(&name))
}

/// Where the numbers of a table's machine, and of the windows beside it, are from.
pub(crate) fn sources(named: &NamedTable) -> impl Iterator<Item = &'static Source> {
    let machine = named.table.machine().name;
    let arch = arches().find(|(tables, _)| tables.iter().any(|table| table.name == named.name));
    let sources = arch.map_or(&[][..], |(_, sources)| sources).iter();
    sources.filter(move |source| {
        let item = source.of.split_once(' ').map(|(item, _)| item);
        item == Some(machine) || item == Some("window")
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_table_has_a_name_of_its_own_and_a_source_for_every_number() {
        let names: BTreeSet<_> = all().map(|table| table.name).collect();
        assert_eq!(names.len(), all().count());
        for table in all() {
            let machine = table.table.machine();
            let of: Vec<_> = sources(table).map(|source| source.of).collect();
            for item in ["leaves", "trap", "reach", "code", "patch", "cache"] {
                assert!(of.contains(&&*format!("{} {item}", machine.name)), "{}: {item} in {of:?}", table.name);
            }
            assert_eq!(machine.anchor.is_some(), of.contains(&&*format!("{} anchor", machine.name)), "{}", table.name);
            assert!(of.iter().any(|item| item.starts_with("window ")), "{}", table.name);
        }
    }

    #[test]
    fn the_architectures_of_the_survey_are_there() {
        let wanted = [
            "x86",
            "x86-32",
            "arm64-4k",
            "arm64-16k",
            "arm64-64k",
            "powerpc-8xx",
            "powerpc-book3s32",
            "riscv64",
            "arm",
            "mips",
            "s390",
            "loongarch",
            "loongarch-4k",
            "sparc64",
            "nios2",
            "parisc",
        ];
        for name in wanted {
            assert_eq!(table(name).map(|table| table.name).ok(), Some(name));
        }
        let of = |name, page| table_of(name, page).expect("an alias").name;
        assert_eq!([of("x86_64", None), of("aarch64", None), of("riscv", None)], ["x86", "arm64-4k", "riscv64"]);
        assert_eq!([of("aarch64", Some(65536)), of("x86_64", Some(4096))], ["arm64-64k", "x86"]);
        let legacy: Vec<_> = all().filter(|table| table.table.is_legacy()).map(|table| table.name).collect();
        assert_eq!(legacy, ["x86-legacy"], "writable and executable memory is named as what it is");
    }
}
