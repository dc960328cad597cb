//! Content: how bytes get in, become what is executed, and are read. How they [change](super::patch) is apart.
//!
//! | fill | draft | publish | patch | free |
//! |---|---|---|---|---|
//! | poke | written through another mapping | fetch learns of it | written through another mapping | trapped likewise |
//! | flip | stores, memory is read-write | rights flip | flip, store, flip | flip, trapped |
//! | direct | stores | nothing | – | zeroed |
//!
//! The callers' code is the same for all of them.
//!
//! # Invariants (I5, I7)
//!
//! Memory that is not live holds the unused pattern before it is executable and after it is freed. Published bytes
//! change by `patch` and its like only.

use execmem_types::{Backend, KindSet, KindTag};

use super::{Engine, Found};
use crate::base::error::{Error, Failed, Operation};
use crate::base::handle::{Allocation, Draft, Handle, Live, Stage, StageOf, Writes};
use crate::memory::Memory;
use crate::sync::Locking;

impl<M: Memory<S>, S: KindSet, L: Locking> Engine<M, S, L> {
    /// Copies bytes into memory that can be written: a draft, or live data.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfBounds`], [`Error::ForeignHandle`], [`Error::Backend`]; [`Error::WrongKind`] for live memory of a
    /// kind that is known at run time only and turns out not to be writable.
    #[inline]
    pub fn write<T: Writes<K>, K: KindTag<Set = S>>(
        &self,
        handle: &mut Handle<T, K>,
        offset: u64,
        bytes: &[u8],
    ) -> Result<(), Error> {
        if Handle::<T, K>::STAGE == StageOf::Live && !handle.kind().class().is_written_when_live() {
            return Err(Error::WrongKind { kind: handle.kind().into(), operation: Operation::Write });
        }
        let allocation = handle.allocation();
        self.check(allocation)?;
        let Some(part) = allocation.part(offset, bytes.len() as u64)? else { return Ok(()) };
        let written = self.worker_of(allocation).seam.write(part.start(), bytes);
        written.map_err(|source| Error::Backend { kind: self.name_of(allocation), source })
    }

    /// Copies bytes out of an allocation.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfBounds`], [`Error::ForeignHandle`], [`Error::Backend`].
    pub fn read<T: Stage, K: KindTag<Set = S>>(
        &self,
        handle: &Handle<T, K>,
        offset: u64,
        bytes: &mut [u8],
    ) -> Result<(), Error> {
        let allocation = handle.allocation();
        self.check(allocation)?;
        let Some(part) = allocation.part(offset, bytes.len() as u64)? else { return Ok(()) };
        let read = self.memory.backend().read(part.start(), bytes);
        read.map_err(|source| Error::Backend { kind: self.name_of(allocation), source })
    }

    /// Copies bytes out of the live allocation that holds an address, all of them from it.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] if none holds the first byte, [`Error::OutOfBounds`], [`Error::Backend`].
    pub fn read_at(&self, address: u64, bytes: &mut [u8]) -> Result<(), Error> {
        let Found { extent, kind, .. } = self.find(address).ok_or(Error::NotFound { address })?;
        let (offset, len) = (address - extent.start(), bytes.len() as u64);
        if len > extent.len() - offset {
            return Err(Error::OutOfBounds { offset, len, granted: extent.len() });
        }
        self.memory.backend().read(address, bytes).map_err(|source| Error::Backend { kind: kind.into(), source })
    }

    /// Publishes a draft: code can be executed, constants cannot be written any more.
    ///
    /// # Errors
    ///
    /// [`Error::ForeignHandle`], [`Error::Backend`]; the draft comes back.
    #[inline]
    pub fn publish<K: KindTag<Set = S>>(&self, draft: Draft<K>) -> Result<Live<K>, Failed<Draft<K>>> {
        match self.publish_allocation(draft.allocation()) {
            Ok(()) => {
                let live = draft.advance();
                self.worker_of(live.allocation()).seam.tell_published(live.kind(), live.extent());
                Ok(live)
            }
            Err(error) => Err(Failed { handle: draft, error }),
        }
    }

    #[inline]
    fn publish_allocation(&self, allocation: &Allocation) -> Result<(), Error> {
        self.check(allocation)?;
        let published = self.worker_of(allocation).seam.publish(allocation.extent());
        published.map_err(|source| Error::Backend { kind: self.name_of(allocation), source })
    }
}
