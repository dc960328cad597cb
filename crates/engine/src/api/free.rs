//! The end of allocations, and cutting them: free, truncate, split.

use execmem_types::{KindSet, KindTag, PowerOfTwo};

use super::Engine;
use crate::base::error::{Error, Failed};
use crate::base::handle::{Allocation, Handle, Stage, StageOf};
use crate::memory::Memory;
use crate::sync::Locking;

impl<M: Memory<S>, S: KindSet, L: Locking> Engine<M, S, L> {
    /// Frees memory of any stage. Its content is destroyed before another caller can get it.
    ///
    /// Takes no heap. If the backend refuses to destroy the content, the bytes are *withheld*: not handed out
    /// ([`PoolStats::bytes_withheld`](crate::PoolStats::bytes_withheld)) until that succeeds, which later frees,
    /// [`maintain`](Self::maintain) and [`shrink`](Self::shrink) try.
    ///
    /// # Errors
    ///
    /// [`Error::ForeignHandle`]; the handle comes back.
    #[inline]
    pub fn free<T: Stage, K: KindTag<Set = S>>(&self, handle: Handle<T, K>) -> Result<(), Failed<Handle<T, K>>> {
        if let Err(error) = self.check(handle.allocation()) {
            return Err(Failed { handle, error });
        }
        self.free_one(handle);
        Ok(())
    }

    /// Frees an allocation of this engine.
    #[inline]
    fn free_one<T: Stage, K: KindTag<Set = S>>(&self, handle: Handle<T, K>) {
        self.free_alone(Handle::<T, K>::STAGE, handle.allocation());
        let _ = handle.into_allocation();
    }

    /// One by itself: what is made of the code for several where their number is known.
    fn free_alone(&self, stage: StageOf, allocation: &Allocation) {
        self.free_run(stage, core::slice::from_ref(allocation));
    }

    /// Frees allocations in one window of one shard of a pool, at most [`TOGETHER`](crate::pool::TOGETHER). The caller has
    /// handles for them, which stand for nothing when it returns.
    pub(super) fn free_allocations(&self, stage: StageOf, allocations: &[Allocation]) {
        self.free_run(stage, allocations);
    }

    #[inline(always)]
    fn free_run(&self, stage: StageOf, allocations: &[Allocation]) {
        let Some(first) = allocations.first() else { return };
        let worker = self.worker_of(first);
        let freed = worker.free_run(stage, allocations, self.defers);
        if freed.is_followed_up() && !self.defers {
            worker.follow_up(first.location, freed);
        }
    }

    /// Shortens an allocation to `len` bytes, rounded up to the quantum of its kind, and frees the rest.
    ///
    /// # Errors
    ///
    /// [`Error::BadCut`] unless some bytes stay and some go; [`Error::ForeignHandle`], [`Error::OutOfMemory`].
    pub fn truncate<T: Stage, K: KindTag<Set = S>>(&self, handle: &mut Handle<T, K>, len: u64) -> Result<(), Error> {
        let rest = self.split_off(handle, len, self.seats[handle.kind()].quantum)?;
        self.free_one(rest);
        Ok(())
    }

    /// Cuts an allocation in two of the same stage and kind after `len` bytes, rounded up to the quantum and the
    /// alignment of its kind. The handle keeps the first part; the second is returned, and is freed by itself.
    ///
    /// # Errors
    ///
    /// [`Error::BadCut`] unless both parts have bytes; [`Error::ForeignHandle`], [`Error::OutOfMemory`].
    pub fn split<T: Stage, K: KindTag<Set = S>>(
        &self,
        handle: &mut Handle<T, K>,
        len: u64,
    ) -> Result<Handle<T, K>, Error> {
        let seat = self.seats[handle.kind()];
        self.split_off(handle, len, seat.quantum.max(seat.alignment))
    }

    fn split_off<T: Stage, K: KindTag<Set = S>>(
        &self,
        handle: &mut Handle<T, K>,
        len: u64,
        unit: PowerOfTwo,
    ) -> Result<Handle<T, K>, Error> {
        let allocation = handle.allocation_mut();
        self.check(allocation)?;
        let whole = allocation.extent();
        let cut = unit.round_up(len).filter(|cut| *cut > 0 && *cut < whole.len());
        let cut = cut.ok_or(Error::BadCut { len, extent: whole })?;
        let is_written = Handle::<T, K>::STAGE != StageOf::Sealed;
        self.worker_of(allocation).pool.split(allocation, cut, is_written)?;
        let requested = allocation.requested();
        let part = |start: u64, len: u64, requested: u64| Allocation {
            start,
            quanta: u32::try_from(len >> allocation.quantum.log2()).unwrap_or(u32::MAX),
            slack: u32::try_from(len - requested.min(len)).unwrap_or(u32::MAX),
            ..*allocation
        };
        let first = part(whole.start(), cut, requested.min(cut));
        let second = part(whole.start() + cut, whole.len() - cut, requested.saturating_sub(cut));
        *allocation = first;
        Ok(Handle::of(second))
    }
}
