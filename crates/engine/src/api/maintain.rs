//! Memory that comes and goes otherwise than for an allocation: what is due, what is empty, what others mapped.

use execmem_types::{Backend, Extent, KindSet, PageSize};

use super::Engine;
use crate::Error;
use crate::base::handle::MAX_DONATIONS;
use crate::memory::Memory;
use crate::sync::Locking;

impl<M: Memory<S>, S: KindSet, L: Locking> Engine<M, S, L> {
    /// Does what frees left undone: destroys content that was refused or [deferred](Self::deferring), makes sure that no
    /// processor has any of it, and unmaps empty blocks that are not needed. Returns the bytes of these.
    ///
    /// Takes no heap. Takes the locks of changes, and calls the backend: where a thread may wait. Asks other processors once
    /// for many places.
    pub fn maintain(&self) -> u64 {
        if self.memory.backend().check_caller().is_err() {
            return 0;
        }
        let workers = self.pools.iter().map(|pool| self.worker(pool));
        workers.map(|worker| worker.pool.locations().map(|location| worker.maintain(location)).sum::<u64>()).sum()
    }

    /// Does the same, and gives every empty block back at once, spares included, and the bookkeeping that only they needed, as
    /// far as no look-up can be in it. Returns the bytes of the blocks; 0 in a process that may not command the memory.
    ///
    /// Takes no heap to give blocks back; bookkeeping is made anew, smaller, if there is heap for it.
    pub fn shrink(&self) -> u64 {
        let mut bytes = self.maintain();
        if self.memory.backend().check_caller().is_err() {
            return bytes;
        }
        for worker in self.pools.iter().map(|pool| self.worker(pool)) {
            for location in worker.pool.locations() {
                bytes += worker.release_empty(location);
                worker.pool.trim(location);
            }
        }
        bytes
    }

    /// Does the same, and gives all the bookkeeping back that only what is gone needed: no look-up can be in it.
    pub fn shrink_exclusively(&mut self) -> u64 {
        let bytes = self.shrink();
        self.pools.iter_mut().for_each(crate::pool::Pool::trim_maps);
        bytes
    }

    /// Gives memory that is mapped already, with the rights of the kind, to the allocator of `kind`: the slack
    /// between the end of the kernel's text and the end of its large page, say. It is used before anything is mapped,
    /// and never unmapped. `page` is the size of the leaves it is mapped with. A kind can have five donations.
    ///
    /// # Errors
    ///
    /// [`Error::BadDonation`] if it overlaps a window or an earlier donation, is not made of whole quanta, or the kind
    /// flips rights or has five; [`Error::Backend`] if the backend does not know the memory; [`Error::OutOfMemory`].
    pub fn donate(&self, kind: S, extent: Extent, page: PageSize) -> Result<(), Error> {
        let worker = self.worker_for(kind);
        self.check_caller(worker.pool)?;
        let mut donated = self.pools.iter().flat_map(|pool| pool.donated());
        if self.space.overlaps(extent) || donated.any(|(_, window)| window.extent.overlaps(extent)) {
            return Err(Error::BadDonation { extent, limit: MAX_DONATIONS });
        }
        worker.adopt(extent, page)
    }
}
