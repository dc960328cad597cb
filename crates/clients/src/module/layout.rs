//! Where each section lies in the memory of its kind.

use alloc::vec::Vec;

use execmem::Kind;
use execmem_types::Code;

use super::classify::kind_of;
use super::object_file::ObjectFile;
use super::plt;
use super::rules::MachineRules;
use crate::Error;

/// A section's place in the memory of its kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Slot {
    pub(super) kind: Kind,
    pub(super) offset: u64,
}

/// What the sections of one kind need together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Need {
    pub(super) len: u64,
    pub(super) align: u64,
}

/// The places of all sections.
#[derive(Debug)]
pub(super) struct Layout {
    /// By section number; `None` is not loaded.
    pub(super) slots: Vec<Option<Slot>>,
    /// By kind.
    pub(super) needs: [Need; Kind::COUNT],
    /// By kind: where the PLT lies, and for how many entries.
    pub(super) plts: [Option<(u64, u64)>; Kind::COUNT],
}

impl Layout {
    /// Lays sections of a kind out one after the other, in the order of the file.
    pub(super) fn new(object: &ObjectFile<'_>) -> Result<Self, Error> {
        let mut needs = [Need { len: 0, align: 1 }; Kind::COUNT];
        let mut slots = Vec::new();
        for (index, section) in object.sections.iter().enumerate() {
            let Some(kind) = kind_of(section) else {
                slots.push(None);
                continue;
            };
            let need = &mut needs[kind.index()];
            let too_large = Error::TooLarge { kind, section: index };
            let offset = need.len.checked_next_multiple_of(section.align).ok_or(too_large)?;
            need.len = offset.checked_add(section.len).ok_or(too_large)?;
            need.align = need.align.max(section.align);
            slots.push(Some(Slot { kind, offset }));
        }
        Ok(Layout { slots, needs, plts: [None; Kind::COUNT] })
    }

    /// Adds room for a PLT behind the code of each kind that may need one, with the veneers of `code`.
    pub(super) fn add_plts(
        &mut self,
        object: &ObjectFile<'_>,
        machine: &MachineRules,
        code: &Code,
    ) -> Result<(), Error> {
        let Some(stride) = code.veneer_bytes() else { return Ok(()) };
        let align = code.veneer_alignment.bytes();
        let counts = plt::count(object, self, machine);
        for (kind, count) in Kind::ALL.into_iter().zip(counts) {
            if count == 0 || !kind.is_code() {
                continue;
            }
            let need = &mut self.needs[kind.index()];
            let too_large = Error::TooLarge { kind, section: self.slots.len() };
            let start = need.len.checked_next_multiple_of(align).ok_or(too_large)?;
            let len = count.checked_mul(stride).ok_or(too_large)?;
            need.len = start.checked_add(len).ok_or(too_large)?;
            need.align = need.align.max(align);
            self.plts[kind.index()] = Some((start, count));
        }
        Ok(())
    }

    /// The kinds that have any bytes, with what they need.
    pub(super) fn needs(&self) -> impl Iterator<Item = (Kind, Need)> + '_ {
        Kind::ALL.into_iter().zip(self.needs).filter(|(_, need)| need.len > 0)
    }
}
