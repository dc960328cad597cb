//! The procedure linkage table of one kind of code: veneers to what its calls cannot reach.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use execmem::Kind;
use execmem_types::Code;

use super::layout::Layout;
use super::object_file::{ObjectFile, Place};
use super::rules::MachineRules;

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
pub(super) struct Plt<'c> {
    machine: &'c Code,
    /// Where the first entry will stand, a multiple of the alignment of veneers.
    start: u64,
    /// Bytes from the start of one entry to that of the next.
    stride: u64,
    /// Entries there is room for.
    room: u64,
    by_target: BTreeMap<u64, u64>,
    /// The entries so far.
    pub(super) code: Vec<u8>,
}

impl<'c> Plt<'c> {
    /// A table at an address; `None` if the machine has no veneers.
    pub(super) fn new(machine: &'c Code, start: u64, room: u64) -> Option<Self> {
        let stride = machine.veneer_bytes()?;
        Some(Plt { machine, start, stride, room, by_target: BTreeMap::new(), code: Vec::new() })
    }

    /// Where the entry for a target stands, `None` if there is no room for it, or no veneer reaches it.
    pub(super) fn entry(&mut self, target: u64) -> Option<u64> {
        if let Some(&known) = self.by_target.get(&target) {
            return Some(known);
        }
        let index = self.by_target.len() as u64;
        let address = self.start + index * self.stride;
        let veneer = self.machine.veneer(address, target).filter(|_| index < self.room)?;
        // What is behind a shorter one traps.
        self.code.extend_from_slice(veneer.bytes());
        let end = usize::try_from((index + 1) * self.stride).ok()?;
        self.code.extend(self.machine.breakpoint.iter().cycle().take(end - self.code.len()));
        self.by_target.insert(target, address);
        Some(address)
    }
}
