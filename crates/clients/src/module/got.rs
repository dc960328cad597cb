//! The global offset table of a module: addresses as data, for code that reads them instead of being patched with them.

use alloc::vec::Vec;

use super::entries::Relocation;
use super::grow::push;
use super::object_file::ObjectFile;
use super::relocate::put;
use super::rules::{MachineRules, Meaning};
use super::sort::sort;
use super::symbols::Values;
use crate::Error;

/// What an entry holds: the value of a symbol, and an addend.
pub(super) type Entry = (usize, i64);

/// The entry that a relocation reads, if it reads one.
fn entry(rules: &MachineRules, relocation: &Relocation) -> Option<Entry> {
    match rules.rule(relocation.number)?.symbol {
        Meaning::Value => None,
        Meaning::Entry => Some((relocation.symbol, 0)),
        Meaning::EntryOfSum => Some((relocation.symbol, relocation.addend)),
    }
}

/// The entries of an object, each once, in order.
pub(super) fn entries(object: &ObjectFile<'_>, rules: &MachineRules) -> Result<Vec<Entry>, Error> {
    let mut entries = Vec::new();
    for (_, relocations) in &object.relocations {
        for entry in relocations.iter().filter_map(|relocation| entry(rules, &relocation)) {
            push(&mut entries, entry)?;
        }
    }
    sort(&mut entries);
    entries.dedup();
    Ok(entries)
}

/// A table that is placed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Got<'a> {
    pub(super) start: u64,
    pub(super) entries: &'a [Entry],
    /// Bytes of an address.
    pub(super) address_bytes: u64,
}

impl Got<'_> {
    /// Where the entry of a symbol and an addend stands.
    pub(super) fn address(&self, symbol: usize, addend: i64) -> Option<u64> {
        let index = self.entries.binary_search(&(symbol, addend)).ok()?;
        Some(self.start.wrapping_add(index as u64 * self.address_bytes))
    }

    /// Writes the entries. One whose symbol is not loaded stays zero: what refers to it is refused, as if it did so directly.
    pub(super) fn fill(&self, bytes: &mut [u8], values: &Values<'_>, is_big_endian: bool) {
        let size = usize::try_from(self.address_bytes).unwrap_or(8);
        for (field, (symbol, addend)) in bytes.chunks_exact_mut(size).zip(self.entries) {
            let value = values.get(*symbol).map_or(0, |value| value.wrapping_add_signed(*addend));
            put(field, value, is_big_endian);
        }
    }
}
