//! Entries in the near window that lead to far code.

use alloc::vec::Vec;

use execmem::{CodeTag, EngineRef, KnownKind, Live};
use execmem_types::InstructionSet;

use crate::Error;

/// Room for veneers near the anchor, so that it can branch to far code. Taken while there is room near, and filled as
/// targets come.
///
/// # Invariants
///
/// An entry without a target traps. An entry changes only while no caller knows its address, or after its last user said
/// so by [`forget`](Self::forget).
#[derive(Debug)]
#[must_use = "memory whose handle is dropped is never freed"]
pub struct Island<E: EngineRef, K: KnownKind<Set = E::Set>> {
    home: E,
    room: Live<K>,
    instructions: &'static InstructionSet,
    /// Bytes from the start of one entry to that of the next.
    stride: u64,
    /// By entry.
    targets: Vec<Option<u64>>,
    /// Offset of the first entry.
    first: u64,
}

impl<E: EngineRef, K: KnownKind<Set = E::Set> + CodeTag> Island<E, K> {
    /// Takes room for `entries` veneers.
    ///
    /// # Errors
    ///
    /// [`Error::FarIsland`] if there is no room near the anchor, [`Error::NoVeneer`] if the machine has no veneers;
    /// [`Error::OutOfMemory`], [`Error::Engine`].
    pub fn new(home: E, entries: usize) -> Result<Self, Error> {
        let engine = home.engine();
        let instructions = engine.table().machine().instructions;
        let stride = instructions.veneer_bytes().ok_or(Error::NoVeneer { site: 0, target: 0 })?;
        let align = instructions.veneer_alignment;
        let len = stride.saturating_mul(entries as u64).saturating_add(align.bytes());
        let mut targets = Vec::new();
        targets.try_reserve_exact(entries).map_err(|_| Error::OutOfMemory { kind: K::KIND.into(), len })?;
        targets.resize(entries, None);
        let draft = engine.alloc::<K>(len)?;
        let address = draft.address();
        let first = align.round_up(address).map_or(0, |aligned| aligned - address);
        if draft.is_far() {
            let _ = engine.free(draft);
            return Err(Error::FarIsland { address });
        }
        match engine.publish(draft) {
            Ok(room) => Ok(Island { home, room, instructions, stride, targets, first }),
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
    pub fn lead(&mut self, target: u64) -> Result<u64, Error> {
        if let Some(entry) = self.targets.iter().position(|known| *known == Some(target)) {
            return Ok(self.address(entry));
        }
        let no_veneer = Error::NoVeneer { site: self.room.address(), target };
        let entry = self.targets.iter().position(Option::is_none).ok_or(no_veneer)?;
        let site = self.address(entry);
        let encoded = self.instructions.veneer(site, target).ok_or(no_veneer)?;
        self.home.engine().patch_unexecuted(&self.room, site - self.room.address(), encoded.bytes())?;
        self.targets[entry] = Some(target);
        Ok(site)
    }

    /// Makes the entry to `target` trap and free for another. No thread may branch to it any more.
    ///
    /// # Errors
    ///
    /// [`Error::NoVeneer`] if there is none; [`Error::Engine`].
    pub fn forget(&mut self, target: u64) -> Result<(), Error> {
        let entry = self.targets.iter().position(|known| *known == Some(target));
        let entry = entry.ok_or(Error::NoVeneer { site: self.room.address(), target })?;
        let site = self.address(entry);
        let mut bytes = [0; execmem_types::MAX_SEQUENCE_BYTES];
        let len = usize::try_from(self.stride).map_or(bytes.len(), |stride| stride.min(bytes.len()));
        self.home.engine().table().machine().trap().fill(site, &mut bytes[..len]);
        self.home.engine().patch_unexecuted(&self.room, site - self.room.address(), &bytes[..len])?;
        self.targets[entry] = None;
        Ok(())
    }

    /// Gives the room back. No thread may branch to it any more.
    pub fn free(self) {
        let _ = self.home.engine().free(self.room);
    }

    fn address(&self, entry: usize) -> u64 {
        self.room.address() + self.first + entry as u64 * self.stride
    }
}
