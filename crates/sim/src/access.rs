//! Loads, stores and instruction fetches, page by page, with the rights of each page.

use execmem_types::{Access, BackendError, Extent, Protection};

use crate::paging::{Leaf, Owner};
use crate::sim::Control;
use crate::state::State;

/// Why a simulated instruction could not run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The memory is not mapped, or its rights forbid the access.
    #[error("{0}")]
    Memory(#[from] BackendError),
    /// Bytes were written and instruction fetch was not told.
    #[error("the bytes at {address:#x} were written and not synchronised")]
    Stale {
        /// First such byte.
        address: u64,
    },
}

impl Control {
    /// Fetches instruction bytes, as a processor that executes them would.
    ///
    /// # Errors
    ///
    /// [`Fault::Memory`] unless all of it is executable; [`Fault::Stale`] if any of it was written since instruction
    /// fetch was last told.
    pub fn fetch(&self, address: u64, bytes: &mut [u8]) -> Result<(), Fault> {
        let state = self.state.lock();
        state.copy_out(address, bytes, |leaf| leaf.protection.is_executable())?;
        match Extent::new(address, bytes.len() as u64).and_then(|extent| state.unsynced.first_in(extent)) {
            Some(address) => Err(Fault::Stale { address }),
            None => Ok(()),
        }
    }

    /// Reads bytes of mapped memory, whatever its rights are.
    ///
    /// # Errors
    ///
    /// [`BackendError::NotMapped`].
    pub fn read(&self, address: u64, bytes: &mut [u8]) -> Result<(), BackendError> {
        self.state.lock().copy_out(address, bytes, |_| true)
    }

    /// Changes bytes of mapped memory behind the engine's back, whatever its rights are: what a defect somewhere else in a
    /// kernel does. For tests of what finds it.
    ///
    /// # Errors
    ///
    /// [`BackendError::NotMapped`].
    pub fn corrupt(&self, address: u64, bytes: &[u8]) -> Result<(), BackendError> {
        self.state.lock().copy_in(address, bytes, |_| true)
    }

    /// Whether [`store`](Self::store) of a byte would be allowed.
    #[must_use]
    pub fn can_store(&self, address: u64) -> bool {
        self.state.lock().pieces(address, 1, is_stored_to).is_ok()
    }

    /// Stores bytes at an address, as a program would.
    ///
    /// # Errors
    ///
    /// [`Fault::Memory`] unless all of it is writable there.
    pub fn store(&self, address: u64, bytes: &[u8]) -> Result<(), Fault> {
        Ok(self.state.lock().write(Access::Store, address, bytes)?)
    }
}

impl State {
    pub(crate) fn write(&mut self, access: Access, address: u64, bytes: &[u8]) -> Result<(), BackendError> {
        let Some(extent) = Extent::new(address, bytes.len() as u64) else { return Ok(()) };
        match access {
            Access::Store => {
                self.copy_in(address, bytes, is_stored_to)?;
                self.counts.stores += 1;
            }
            Access::Poke => {
                self.copy_in(address, bytes, |leaf| leaf.owner != Owner::Kernel)?;
                self.counts.pokes += 1;
                self.counts.local_flushes += 1;
            }
        }
        self.unsynced.add(extent);
        Ok(())
    }

    /// Copies out of memory whose leaves all satisfy `allowed`.
    pub(crate) fn copy_out(
        &self,
        address: u64,
        bytes: &mut [u8],
        allowed: impl Fn(&Leaf) -> bool,
    ) -> Result<(), BackendError> {
        let pieces = self.pieces(address, bytes.len(), allowed)?;
        let mut rest = bytes;
        for Piece { frame, offset, len } in pieces {
            let (chunk, after) = rest.split_at_mut(len);
            self.memory.read(frame, offset, chunk);
            rest = after;
        }
        Ok(())
    }

    /// Copies into memory whose leaves all satisfy `allowed`.
    pub(crate) fn copy_in(
        &mut self,
        address: u64,
        bytes: &[u8],
        allowed: impl Fn(&Leaf) -> bool,
    ) -> Result<(), BackendError> {
        let mut rest = bytes;
        for Piece { frame, offset, len } in self.pieces(address, bytes.len(), allowed)? {
            let (chunk, after) = rest.split_at(len);
            self.memory.write(frame, offset, chunk);
            rest = after;
        }
        Ok(())
    }

    /// The frames behind a stretch of addresses, checked before anything is copied.
    fn pieces(&self, address: u64, len: usize, allowed: impl Fn(&Leaf) -> bool) -> Result<Vec<Piece>, BackendError> {
        let Some(extent) = Extent::new(address, len as u64) else { return Ok(Vec::new()) };
        let frame_bytes = self.memory.frame_bytes();
        let mut pieces = Vec::new();
        for (start, leaf) in self.paging.leaves_of(extent)? {
            let in_leaf = Extent::new(start, leaf.size.bytes()).and_then(|whole| whole.intersection(extent));
            let Some(in_leaf) = in_leaf else { continue };
            if !allowed(&leaf) {
                return Err(Self::denied(in_leaf.start(), &leaf));
            }
            let mut at = in_leaf.start();
            while at <= in_leaf.last() {
                let offset = (at - start) % frame_bytes;
                let len = (frame_bytes - offset).min(in_leaf.last() - at + 1);
                let frame = leaf.frame + (at - start) / frame_bytes;
                pieces.push(Piece { frame, offset: index(offset), len: index(len) });
                at += len;
            }
        }
        Ok(pieces)
    }

    fn denied(address: u64, leaf: &Leaf) -> BackendError {
        match (leaf.owner, leaf.protection) {
            (Owner::Kernel, _) | (_, Protection::NoAccess) => BackendError::NotMapped { address },
            (_, protection) => BackendError::Denied { address, protection },
        }
    }
}

/// Whether stores at the addresses of a leaf are allowed.
fn is_stored_to(leaf: &Leaf) -> bool {
    leaf.protection.is_writable() || leaf.is_writable_and_executable
}

/// Bytes in one frame.
struct Piece {
    frame: u64,
    offset: usize,
    len: usize,
}

fn index(within_frame: u64) -> usize {
    usize::try_from(within_frame).unwrap_or(usize::MAX)
}
