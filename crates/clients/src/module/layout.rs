//! Where each section lies in the memory of its kind.

use alloc::vec::Vec;

use execmem::KnownKind as _;
use execmem_types::{InstructionSet, PerKind};

use super::classify::{is_per_cpu, kind_of};
use super::entries::Place;
use super::got;
use super::grow::{push, repeated};
use super::limits::{Budget, LoadLimits, Resource};
use super::object_file::ObjectFile;
use super::plt;
use super::rules::MachineRules;
use crate::{Error, ModuleKinds};

/// A section's place in the memory of its kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Slot<S> {
    pub(super) kind: S,
    pub(super) offset: u64,
}

/// What the sections of one kind need together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Need {
    pub(super) len: u64,
    pub(super) align: u64,
}

impl Need {
    /// Adds bytes. Returns their offset.
    fn append(&mut self, len: u64, align: u64) -> Option<u64> {
        let offset = self.len.checked_next_multiple_of(align)?;
        self.len = offset.checked_add(len)?;
        self.align = self.align.max(align);
        Some(offset)
    }
}

/// The places of all sections.
#[derive(Debug)]
pub(super) struct Layout<S: ModuleKinds> {
    /// By section number; `None` is not loaded.
    pub(super) slots: Vec<Option<Slot<S>>>,
    /// By kind.
    pub(super) needs: PerKind<S, Need>,
    /// By kind: where the PLT lies, and for how many entries.
    pub(super) plts: PerKind<S, Option<(u64, u64)>>,
    /// The same for each list of relocations that wait for another object.
    pub(super) late_plts: Vec<Option<(Slot<S>, u64)>>,
    /// Bytes of which each processor has its own, and the sections and offsets in them.
    pub(super) per_cpu: (Need, Vec<(usize, u64)>),
    /// Where the GOT lies, and its entries.
    pub(super) got: (Option<Slot<S>>, Vec<got::Entry>),
}

impl<S: ModuleKinds> Layout<S> {
    /// Lays sections of a kind out one after the other, in the order of the file, and the GOT behind the constants.
    /// `alignment` is what memory of a kind is aligned to anyway.
    pub(super) fn new(
        object: &ObjectFile<'_>,
        machine: &MachineRules,
        alignment: impl Fn(S) -> u64,
    ) -> Result<Self, Error> {
        let needs = PerKind::from_fn(Need { len: 0, align: 1 }, |kind| Need { len: 0, align: alignment(kind) });
        let got = (None, got::entries(object, machine)?);
        let mut layout = Layout {
            slots: Vec::new(),
            needs,
            plts: PerKind::filled(None),
            late_plts: Vec::new(),
            per_cpu: (Need { len: 0, align: 1 }, Vec::new()),
            got,
        };
        let mut waits = repeated(false, object.sections.len())?;
        object.late.iter().for_each(|list| waits[list.section] = true);
        for (index, section) in object.sections.iter().enumerate() {
            // What changes later is no constant.
            let kind =
                kind_of::<S>(section).map(|kind| if waits[index] && !kind.is_code() { S::Data::KIND } else { kind });
            let slot = match kind {
                None if is_per_cpu(section) => {
                    let too_large = Error::NoPerCpu { len: section.len };
                    let (need, sections) = &mut layout.per_cpu;
                    push(sections, (index, need.append(section.len, section.align).ok_or(too_large)?))?;
                    None
                }
                None => None,
                Some(kind) => {
                    let too_large = Error::TooLarge { kind: kind.into(), section: index };
                    let offset = layout.append(kind, section.len, section.align).ok_or(too_large)?;
                    Some(Slot { kind, offset })
                }
            };
            push(&mut layout.slots, slot)?;
        }
        if !layout.got.1.is_empty() {
            let (kind, size) = (S::RoData::KIND, address_bytes(machine));
            let too_large = Error::TooLarge { kind: kind.into(), section: object.sections.len() };
            let offset = layout.append(kind, layout.got.1.len() as u64 * size, size).ok_or(too_large)?;
            layout.got.0 = Some(Slot { kind, offset });
        }
        layout.place_empty(object);
        Ok(layout)
    }

    /// Adds bytes to a kind. Returns their offset.
    fn append(&mut self, kind: S, len: u64, align: u64) -> Option<u64> {
        self.needs[kind].append(len, align)
    }

    /// The place of a section among those of which each processor has its own.
    pub(super) fn per_cpu_offset(&self, section: usize) -> Option<u64> {
        let place = self.per_cpu.1.binary_search_by_key(&section, |(section, _)| *section).ok()?;
        self.per_cpu.1.get(place).map(|(_, offset)| *offset)
    }

    /// Gives an address to symbols in sections that are empty, where their kind has no other: a byte of memory.
    fn place_empty(&mut self, object: &ObjectFile<'_>) {
        let is_empty = |slot: &Slot<S>| self.needs[slot.kind].len == 0;
        if !self.slots.iter().flatten().any(is_empty) {
            return;
        }
        let referred = object.relocations.iter().flat_map(|(_, relocations)| relocations.iter());
        let referred = referred.filter_map(|relocation| object.symbols.get(relocation.symbol));
        let global = object.symbols.iter().map(|(_, symbol)| symbol).filter(|symbol| symbol.is_global());
        for symbol in referred.chain(global) {
            let Place::Section(section) = symbol.place else { continue };
            if let Some(slot) = self.slots.get(section).copied().flatten() {
                let need = &mut self.needs[slot.kind];
                need.len = need.len.max(1);
            }
        }
    }

    /// Refuses what takes more memory than the limits allow.
    pub(super) fn check(&self, limits: &LoadLimits) -> Result<(), Error> {
        Budget::new(Resource::PerCpuBytes, limits.per_cpu_bytes).take(self.per_cpu.0.len)?;
        let mut budget = Budget::new(Resource::SectionBytes, limits.section_bytes);
        self.needs().try_for_each(|(_, need)| budget.take(need.len.saturating_add(need.align)))
    }

    /// Adds room for a PLT behind the code of each kind that may need one, with the veneers of its machine.
    pub(super) fn add_plts(
        &mut self,
        object: &ObjectFile<'_>,
        machine: &MachineRules,
        instructions: &InstructionSet,
    ) -> Result<(), Error> {
        let Some(stride) = instructions.veneer_bytes() else { return Ok(()) };
        let align = instructions.veneer_alignment.bytes();
        let counts = plt::count(object, object.relocations.iter().copied(), self, machine, instructions)?;
        for (kind, count) in counts.iter() {
            if *count == 0 || !kind.is_code() {
                continue;
            }
            let too_large = Error::TooLarge { kind: kind.into(), section: self.slots.len() };
            let len = count.checked_mul(stride).ok_or(too_large)?;
            let start = self.append(kind, len, align).ok_or(too_large)?;
            self.plts[kind] = Some((start, *count));
        }
        Ok(())
    }

    /// Adds room for a PLT for each list of relocations that wait for another object: how far that will be is not known.
    pub(super) fn add_late_plts(
        &mut self,
        object: &ObjectFile<'_>,
        machine: &MachineRules,
        instructions: &InstructionSet,
    ) -> Result<(), Error> {
        let Some(stride) = instructions.veneer_bytes() else { return Ok(()) };
        for list in &object.late {
            let lists = core::iter::once((list.section, list.relocations));
            let counts = plt::count(object, lists, self, machine, instructions)?;
            let needed = counts.iter().find(|(kind, count)| kind.is_code() && **count > 0);
            let plt = match needed.map(|(kind, count)| (kind, *count)) {
                Some((kind, count)) => {
                    let too_large = Error::TooLarge { kind: kind.into(), section: list.section };
                    let len = count.checked_mul(stride).ok_or(too_large)?;
                    let align = instructions.veneer_alignment.bytes();
                    let offset = self.append(kind, len, align).ok_or(too_large)?;
                    Some((Slot { kind, offset }, count))
                }
                None => None,
            };
            push(&mut self.late_plts, plt)?;
        }
        Ok(())
    }

    /// The kinds that have any bytes, with what they need.
    pub(super) fn needs(&self) -> impl Iterator<Item = (S, Need)> + '_ {
        self.needs.iter().map(|(kind, need)| (kind, *need)).filter(|(_, need)| need.len > 0)
    }
}

/// Bytes of an address of the machine.
pub(super) const fn address_bytes(machine: &MachineRules) -> u64 {
    if machine.is_64_bit { 8 } else { 4 }
}
