//! The private copies of what a module will be: the bytes of each kind, for the addresses where they will lie; and the view
//! of them that the caller gets, which finishes a module before it is published.

use alloc::vec::Vec;

use execmem::{Draft, Extent};
use execmem_types::{InstructionSet, PerKind, Trap};

use super::entries::Format;
use super::got::Got;
use super::grow::{collect, push, repeated};
use super::layout::{Layout, Slot, address_bytes};
use super::object_file::ObjectFile;
use super::plt::Plt;
use super::relocate::Patch;
use super::rules::MachineRules;
use super::sort::sort_by_key;
use super::symbols::Values;
use crate::{Error, ModuleKinds};

/// Where the sections of each kind begin.
pub(super) struct Placed<S: ModuleKinds> {
    /// By kind: the memory, and the first address that is aligned for every section.
    kinds: PerKind<S, Option<(Extent, u64)>>,
}

impl<S: ModuleKinds> Placed<S> {
    pub(super) fn new(layout: &Layout<S>, drafts: &[Draft<S>]) -> Self {
        let mut kinds = PerKind::filled(None);
        for draft in drafts {
            let kind = draft.kind();
            let base = draft.address().next_multiple_of(layout.needs[kind].align);
            kinds[kind] = Some((draft.extent(), base));
        }
        Placed { kinds }
    }

    pub(super) fn address(&self, slot: Slot<S>) -> Option<u64> {
        self.kinds[slot.kind].map(|(_, base)| base.wrapping_add(slot.offset))
    }
}

/// The bytes of one kind.
pub(super) struct Part<S> {
    pub(super) kind: S,
    /// Where the first will lie.
    pub(super) address: u64,
    pub(super) bytes: Vec<u8>,
}

/// The bytes of all kinds.
pub(super) struct Contents<S> {
    parts: Vec<Part<S>>,
    /// What every processor begins with.
    pub(super) per_cpu: Vec<u8>,
}

impl<S: ModuleKinds> Contents<S> {
    /// Bytes for every kind: what lies between sections of code traps.
    pub(super) fn new(layout: &Layout<S>, placed: &Placed<S>, trap: Trap) -> Result<Self, Error> {
        let mut parts = Vec::new();
        for (kind, need) in layout.needs() {
            let Some(address) = placed.address(Slot { kind, offset: 0 }) else { continue };
            let mut bytes = blank(kind, need.len)?;
            if kind.is_code() {
                trap.fill(address, &mut bytes);
            }
            push(&mut parts, Part { kind, address, bytes })?;
        }
        let len = usize::try_from(layout.per_cpu.0.len).unwrap_or(usize::MAX);
        Ok(Contents { parts, per_cpu: repeated(0, len)? })
    }

    pub(super) fn parts(&self) -> &[Part<S>] {
        &self.parts
    }

    /// The bytes at an offset of a kind.
    fn at(&mut self, slot: Slot<S>, len: u64) -> Option<&mut [u8]> {
        let part = self.parts.iter_mut().find(|part| part.kind == slot.kind)?;
        let start = usize::try_from(slot.offset).ok()?;
        part.bytes.get_mut(start..start.checked_add(usize::try_from(len).ok()?)?)
    }

    /// The bytes of a section.
    pub(super) fn section(&mut self, layout: &Layout<S>, section: usize, len: u64) -> Option<&mut [u8]> {
        if let Some(offset) = layout.per_cpu_offset(section) {
            let (start, len) = (usize::try_from(offset).ok()?, usize::try_from(len).ok()?);
            return self.per_cpu.get_mut(start..start.checked_add(len)?);
        }
        self.at(layout.slots.get(section).copied().flatten()?, len)
    }

    /// Copies the sections from the file.
    pub(super) fn fill(&mut self, object: &ObjectFile<'_>, layout: &Layout<S>) {
        for (index, section) in object.sections.iter().enumerate() {
            let Some(bytes) = self.section(layout, index, section.len) else { continue };
            if section.data.is_empty() { bytes.fill(0) } else { bytes.copy_from_slice(section.data) }
        }
    }

    /// Where a place of a kind will lie.
    pub(super) fn address(&self, slot: Slot<S>) -> Option<u64> {
        let part = self.parts.iter().find(|part| part.kind == slot.kind)?;
        Some(part.address.wrapping_add(slot.offset))
    }

    /// Patches every section, and fills the tables that the loader makes.
    #[inline(never)]
    pub(super) fn relocate(
        &mut self,
        object: &ObjectFile<'_>,
        layout: &Layout<S>,
        values: &Values<'_>,
        (machine, instructions): (&'static MachineRules, &'static InstructionSet),
    ) -> Result<(), Error> {
        let (place, entries) = &layout.got;
        let start = place.and_then(|slot| self.address(slot)).unwrap_or(0);
        let got = Got { start, entries, address_bytes: address_bytes(machine) };
        if let Some(bytes) = place.and_then(|slot| self.at(slot, entries.len() as u64 * got.address_bytes)) {
            got.fill(bytes, values, object.format.is_big_endian);
        }
        let mut plts = self.plts(layout, machine, instructions)?;
        for (section, relocations) in &object.relocations {
            let (section, relocations) = (*section, *relocations);
            let Some(address) = values.section(section) else { continue };
            let kind = layout.slots[section].map(|slot| slot.kind);
            let Some(bytes) = self.section(layout, section, object.sections[section].len) else { continue };
            let patch = Patch { section, address, machine, instructions, object, relocations, values, got };
            patch.apply(bytes, plts.iter_mut().find(|(of, _)| Some(of.kind) == kind).map(|(_, plt)| plt))?;
        }
        for (slot, plt) in &plts {
            if let Some(bytes) = self.at(*slot, plt.code.len() as u64) {
                bytes.copy_from_slice(&plt.code);
            }
        }
        Ok(())
    }

    /// The empty PLTs of each kind that has room for one, and where they lie.
    #[inline(never)]
    fn plts(
        &self,
        layout: &Layout<S>,
        machine: &MachineRules,
        instructions: &'static InstructionSet,
    ) -> Result<Vec<(Slot<S>, Plt<'static>)>, Error> {
        let plt = |(kind, place): (S, &Option<(u64, u64)>)| {
            let (offset, room) = (*place)?;
            let slot = Slot { kind, offset };
            Some(Ok((slot, Plt::new(instructions, machine, self.address(slot)?, room)?)))
        };
        collect(layout.plts.iter().filter_map(plt))
    }
}

fn blank<S: ModuleKinds>(kind: S, len: u64) -> Result<Vec<u8>, Error> {
    let out_of_memory = Error::OutOfMemory { kind: kind.into(), len };
    let size = usize::try_from(len).map_err(|_| out_of_memory)?;
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(size).map_err(|_| out_of_memory)?;
    bytes.resize(size, 0);
    Ok(bytes)
}

/// A section of a module that is relocated and not yet published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImageSection<'a, S> {
    /// Its name. Several may have the same.
    pub name: &'a str,
    /// Where it will lie.
    pub address: u64,
    /// Bytes of it.
    pub len: u64,
    /// The kind of its memory.
    pub kind: S,
}

/// The private copy of a module that is relocated and not yet published: what a
/// [finalize step](super::Loader::load_finalized) reads and changes. What is written here is what will be executed.
pub struct ModuleImage<'a, S: ModuleKinds> {
    contents: &'a mut Contents<S>,
    instructions: &'static InstructionSet,
    format: Format,
    /// By address.
    sections: Vec<(ImageSection<'a, S>, Slot<S>)>,
}

impl<S: ModuleKinds> core::fmt::Debug for ModuleImage<'_, S> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_list().entries(self.sections()).finish()
    }
}

impl<'a, S: ModuleKinds> ModuleImage<'a, S> {
    pub(super) fn new(
        contents: &'a mut Contents<S>,
        object: &'a ObjectFile<'_>,
        layout: &Layout<S>,
        instructions: &'static InstructionSet,
    ) -> Result<Self, Error> {
        let mut sections = Vec::new();
        for (section, slot) in object.sections.iter().zip(&layout.slots) {
            let Some((slot, address)) = slot.and_then(|slot| Some((slot, contents.address(slot)?))) else { continue };
            let section = ImageSection { name: section.name, address, len: section.len, kind: slot.kind };
            push(&mut sections, (section, slot))?;
        }
        sort_by_key(&mut sections, |(section, _)| (section.address, section.len));
        Ok(ModuleImage { contents, instructions, format: object.format, sections })
    }

    /// The sections, by address.
    pub fn sections(&self) -> impl Iterator<Item = ImageSection<'a, S>> + '_ {
        self.sections.iter().map(|(section, _)| *section)
    }

    /// The sections of a name.
    pub fn named(&self, name: &str) -> impl Iterator<Item = ImageSection<'a, S>> {
        self.sections().filter(move |section| section.name == name)
    }

    /// The instructions of the machine.
    #[must_use]
    pub const fn instructions(&self) -> &'static InstructionSet {
        self.instructions
    }

    /// Bytes at an address. `None` if they do not lie in one section.
    #[must_use]
    pub fn bytes(&self, address: u64, len: u64) -> Option<&[u8]> {
        let slot = self.slot(address, len)?;
        let part = self.contents.parts.iter().find(|part| part.kind == slot.kind)?;
        let start = usize::try_from(slot.offset).ok()?;
        part.bytes.get(start..start.checked_add(usize::try_from(len).ok()?)?)
    }

    /// The same, to be changed.
    #[must_use]
    pub fn bytes_mut(&mut self, address: u64, len: u64) -> Option<&mut [u8]> {
        let slot = self.slot(address, len)?;
        self.contents.at(slot, len)
    }

    /// A number of up to eight bytes, in the byte order of the module.
    #[must_use]
    pub fn number(&self, bytes: &[u8]) -> u64 {
        self.format.number(bytes)
    }

    /// The kind of the section that an address lies in.
    #[must_use]
    pub fn kind_at(&self, address: u64) -> Option<S> {
        self.slot(address, 1).map(|slot| slot.kind)
    }

    /// The section that bytes lie in, and where.
    fn slot(&self, address: u64, len: u64) -> Option<Slot<S>> {
        let behind = self.sections.partition_point(|(section, _)| section.address <= address);
        let (section, slot) = self.sections.get(behind.checked_sub(1)?)?;
        let offset = address - section.address;
        let is_inside = offset.checked_add(len)? <= section.len;
        is_inside.then_some(Slot { kind: slot.kind, offset: slot.offset + offset })
    }
}
