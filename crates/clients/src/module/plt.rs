//! The procedure linkage table of one kind of code: entries that go where a call cannot reach.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use execmem::Kind;

use super::layout::Layout;
use super::object_file::{ObjectFile, Place};
use super::rules::{MachineRules, PltEntry};

/// Bytes of the address behind the code of an entry.
const ADDRESS_BYTES: usize = 8;

impl PltEntry {
    /// Bytes of an entry.
    pub(super) const fn bytes(&self) -> usize {
        self.template.len() + ADDRESS_BYTES
    }
}

/// How many entries the code of each kind can need at most: one for each target of a call that lies elsewhere.
pub(super) fn count(object: &ObjectFile<'_>, layout: &Layout, machine: &MachineRules) -> [u64; Kind::COUNT] {
    let mut targets: [BTreeSet<(usize, i64)>; Kind::COUNT] = [const { BTreeSet::new() }; Kind::COUNT];
    let kind_of = |section: usize| layout.slots.get(section).copied().flatten().map(|slot| slot.kind);
    for (section, relocations) in &object.relocations {
        let Some(kind) = kind_of(*section) else { continue };
        for relocation in relocations {
            let is_call = machine.relocations.iter().any(|rule| rule.number == relocation.number && rule.is_call);
            let symbol = object.symbols.get(relocation.symbol);
            let is_here = symbol.is_some_and(|symbol| match symbol.place {
                Place::Section(section) => kind_of(section) == Some(kind),
                _ => false,
            });
            if is_call && !is_here {
                targets[kind.index()].insert((relocation.symbol, relocation.addend));
            }
        }
    }
    targets.map(|targets| targets.len() as u64)
}

/// The entries of one kind.
#[derive(Debug)]
pub(super) struct Plt {
    entry: PltEntry,
    /// Where the first entry will stand.
    start: u64,
    /// Entries there is room for.
    room: u64,
    by_target: BTreeMap<u64, u64>,
    /// The entries so far.
    pub(super) code: Vec<u8>,
}

impl Plt {
    pub(super) const fn new(entry: PltEntry, start: u64, room: u64) -> Self {
        Plt { entry, start, room, by_target: BTreeMap::new(), code: Vec::new() }
    }

    /// Where the entry for a target stands, `None` if there is no room for it.
    pub(super) fn entry(&mut self, target: u64) -> Option<u64> {
        if let Some(&known) = self.by_target.get(&target) {
            return Some(known);
        }
        if self.by_target.len() as u64 >= self.room {
            return None;
        }
        let address = self.start + self.code.len() as u64;
        self.code.extend(self.entry.template);
        self.code.extend(target.to_le_bytes());
        self.by_target.insert(target, address);
        Some(address)
    }
}
