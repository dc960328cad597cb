//! Entries in the near window that lead to far code.

use alloc::vec::Vec;

use execmem::sync::Locking;
use execmem::{Backend, CodeTag, Engine, Handle as _, KnownKind, Live};
use execmem_types::Code;

use crate::Error;

/// Room for veneers near the anchor, so that it can branch to far code. Taken while there is room near, and filled as
/// targets come.
///
/// # Invariants
///
/// An entry without a target traps. An entry changes only while nobody knows its address, or after its last user said
/// so by [`forget`](Self::forget).
#[derive(Debug)]
#[must_use = "memory whose handle is dropped is never freed"]
pub struct Island<K: KnownKind> {
    room: Live<K>,
    machine: Code,
    /// Bytes from the start of one entry to that of the next.
    stride: u64,
    /// By entry.
    targets: Vec<Option<u64>>,
    /// Offset of the first entry.
    first: u64,
}

impl<K: KnownKind + CodeTag> Island<K> {
    /// Takes room for `entries` veneers.
    ///
    /// # Errors
    ///
    /// [`Error::FarIsland`] if there is no room near the anchor, [`Error::NoVeneer`] if the machine has no veneers;
    /// [`Error::OutOfMemory`], [`Error::Engine`].
    pub fn new<B: Backend, L: Locking>(engine: &Engine<B, L>, machine: &Code, entries: usize) -> Result<Self, Error> {
        let stride = machine.veneer_bytes().ok_or(Error::NoVeneer { site: 0, target: 0 })?;
        let align = machine.veneer_alignment;
        let len = stride.saturating_mul(entries as u64).saturating_add(align.bytes());
        let mut targets = Vec::new();
        targets.try_reserve_exact(entries).map_err(|_| Error::OutOfMemory { kind: K::KIND, len })?;
        targets.resize(entries, None);
        let draft = engine.alloc::<K>(len)?;
        let address = draft.address();
        let first = align.round_up(address).map_or(0, |aligned| aligned - address);
        if draft.is_far() {
            let _ = engine.free(draft);
            return Err(Error::FarIsland { address });
        }
        match engine.publish(draft) {
            Ok(room) => Ok(Island { room, machine: *machine, stride, targets, first }),
            Err(failed) => {
                let _ = engine.free(failed.handle);
                Err(failed.error.into())
            }
        }
    }

    /// The address of an entry that leads to `target`: the one there is, or a new one.
    ///
    /// # Errors
    ///
    /// [`Error::NoVeneer`] if all entries are taken or none reaches; [`Error::Engine`].
    pub fn lead<B: Backend, L: Locking>(&mut self, engine: &Engine<B, L>, target: u64) -> Result<u64, Error> {
        if let Some(entry) = self.targets.iter().position(|known| *known == Some(target)) {
            return Ok(self.address(entry));
        }
        let no_veneer = Error::NoVeneer { site: self.room.address(), target };
        let entry = self.targets.iter().position(Option::is_none).ok_or(no_veneer)?;
        let site = self.address(entry);
        let encoded = self.machine.veneer(site, target).ok_or(no_veneer)?;
        engine.patch(&self.room, site - self.room.address(), encoded.bytes())?;
        self.targets[entry] = Some(target);
        Ok(site)
    }

    /// Makes the entry to `target` trap and free for another. Nobody may branch to it any more.
    ///
    /// # Errors
    ///
    /// [`Error::NoVeneer`] if there is none; [`Error::Engine`].
    pub fn forget<B: Backend, L: Locking>(&mut self, engine: &Engine<B, L>, target: u64) -> Result<(), Error> {
        let entry = self.targets.iter().position(|known| *known == Some(target));
        let entry = entry.ok_or(Error::NoVeneer { site: self.room.address(), target })?;
        let site = self.address(entry);
        let mut bytes = [0; execmem_types::MAX_SEQUENCE_BYTES];
        let len = usize::try_from(self.stride).map_or(bytes.len(), |stride| stride.min(bytes.len()));
        engine.table().machine().trap.fill(site, &mut bytes[..len]);
        engine.patch(&self.room, site - self.room.address(), &bytes[..len])?;
        self.targets[entry] = None;
        Ok(())
    }

    /// Gives the room back. Nobody may branch to it any more.
    pub fn free<B: Backend, L: Locking>(self, engine: &Engine<B, L>) {
        let _ = engine.free(self.room);
    }

    fn address(&self, entry: usize) -> u64 {
        self.room.address() + self.first + entry as u64 * self.stride
    }
}
