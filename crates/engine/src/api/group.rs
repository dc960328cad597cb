//! Several allocations in one step.

use alloc::vec::Vec;

use execmem_types::{Extent, KindSet, KindTag, SyncScope};
use smallvec::SmallVec;

use super::Engine;
use crate::base::error::{Error, Failed};
use crate::base::handle::{Allocation, Draft, Handle, Live, Location, Stage};
use crate::base::request::Request;
use crate::base::reservation::Reservation;
use crate::memory::Memory;
use crate::pool::TOGETHER;
use crate::sync::Locking;

/// Drafts that other processors learn of at once.
const BATCH: usize = 16;

impl<M: Memory<S>, S: KindSet, L: Locking> Engine<M, S, L> {
    /// Allocates every one of `wanted` (kind and bytes), or none: the kinds of a module's sections, say.
    ///
    /// # Errors
    ///
    /// The first that fails, as [`alloc`](Self::alloc). What was allocated before it is free again.
    pub fn alloc_group(&self, wanted: &[(S, u64)]) -> Result<Vec<Draft<S>>, Error> {
        self.alloc_all(wanted.iter().map(|&(kind, len)| Request::new(kind, len)))
    }

    /// Allocates every one of `wanted`, or none.
    fn alloc_all(&self, wanted: impl ExactSizeIterator<Item = Request<S>>) -> Result<Vec<Draft<S>>, Error> {
        let mut drafts = Vec::new();
        drafts.try_reserve_exact(wanted.len()).map_err(|_| Error::OutOfMemory)?;
        for request in wanted {
            match self.request(&request) {
                Ok(draft) => drafts.push(draft),
                Err(error) => {
                    // Drafts of this engine are always accepted.
                    let _ = self.free_group(&mut drafts);
                    return Err(error);
                }
            }
        }
        Ok(drafts)
    }

    /// Sets memory aside for `count` allocations as a request says, from which each can be had where nothing may be waited for:
    /// with interrupts off, or while the heap refuses.
    ///
    /// ```
    /// # use execmem_arch_x86::TABLE; use execmem_sim::Sim;
    /// use execmem::{Engine, Kind, Request};
    ///
    /// let engine = Engine::new(TABLE, Sim::new(TABLE.machine()))?;
    /// let mut slots = engine.reserve(&Request::new(Kind::Kprobe, 64), 100)?;
    /// let slot = slots.take().expect("a hundred");
    /// engine.free(slot)?;
    /// engine.free_group(&mut slots.into_drafts())?;
    /// # Ok::<(), execmem::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// The first that fails, as [`request`](Self::request). What was allocated before it is free again.
    pub fn reserve(&self, request: &Request<S>, count: usize) -> Result<Reservation<S>, Error> {
        self.alloc_all(core::iter::repeat_n(*request, count)).map(Reservation::new)
    }

    /// Publishes every draft, or none: other processors are asked once for up to 16 of them. Of drafts that other processors
    /// have to be interrupted for, that is most of the price.
    ///
    /// # Errors
    ///
    /// As [`publish`](Self::publish), [`Error::OutOfMemory`]; the drafts come back.
    pub fn publish_group<K: KindTag<Set = S>>(
        &self,
        drafts: Vec<Draft<K>>,
    ) -> Result<Vec<Live<K>>, Failed<Vec<Draft<K>>>> {
        let mut live = Vec::new();
        let room = live.try_reserve_exact(drafts.len()).map_err(|_| Error::OutOfMemory);
        match room.and_then(|()| self.publish_all(&drafts)) {
            Ok(()) => {
                live.extend(drafts.into_iter().map(Handle::advance));
                for one in &live {
                    self.worker_of(one.allocation()).seam.tell_published(one.kind(), one.extent());
                }
                Ok(live)
            }
            Err(error) => Err(Failed { handle: drafts, error }),
        }
    }

    fn publish_all<K: KindTag<Set = S>>(&self, drafts: &[Draft<K>]) -> Result<(), Error> {
        drafts.iter().try_for_each(|draft| self.check(draft.allocation()))?;
        for (index, draft) in drafts.iter().enumerate() {
            let worker = self.worker_of(draft.allocation());
            if let Err(source) = worker.seam.make_final(draft.extent()) {
                self.take_back(&drafts[..index]);
                return Err(worker.seam.refused(source));
            }
        }
        let mut rest = drafts;
        while let Some(first) = rest.first().map(Handle::allocation) {
            let run = rest.iter().take(BATCH).take_while(|draft| draft.allocation().pool == first.pool).count();
            let (some, others) = rest.split_at(run);
            let extents: SmallVec<[Extent; BATCH]> = some.iter().map(Handle::extent).collect();
            let worker = self.worker_of(first);
            if let Err(source) = worker.seam.sync_all(&extents, SyncScope::Fresh) {
                self.take_back(drafts);
                return Err(worker.seam.refused(source));
            }
            rest = others;
        }
        Ok(())
    }

    /// Makes drafts writable again that were about to be published.
    fn take_back<K: KindTag<Set = S>>(&self, drafts: &[Draft<K>]) {
        for draft in drafts {
            self.worker_of(draft.allocation()).seam.take_back(draft.extent());
        }
    }

    /// Frees many allocations, each as [`free`](Self::free) does. Batches up to 8 frees per lock acquisition: use it to empty
    /// a cache of code. Takes no heap.
    ///
    /// # Errors
    ///
    /// [`Error::ForeignHandle`] of the first of those that other engines made. They stay in `handles`; all others are free.
    pub fn free_group<T: Stage, K: KindTag<Set = S>>(&self, handles: &mut Vec<Handle<T, K>>) -> Result<(), Error> {
        let mut foreign = 0;
        for index in 0..handles.len() {
            if self.check(handles[index].allocation()).is_err() {
                handles.swap(index, foreign);
                foreign += 1;
            }
        }
        while let Some(home) = handles[foreign..].last().map(place_of) {
            let run = handles[foreign..].iter().rev().take(TOGETHER).take_while(|handle| place_of(handle) == home);
            let start = handles.len() - run.count();
            // They leave the list first: if the caller's locks panic, none of them can be freed a second time.
            let some: SmallVec<[Handle<T, K>; TOGETHER]> = handles.drain(start..).collect();
            let allocations: SmallVec<[Allocation; TOGETHER]> = some.iter().map(Handle::allocation).copied().collect();
            self.free_allocations(Handle::<T, K>::STAGE, &allocations);
            for handle in some {
                let _ = handle.into_allocation();
            }
        }
        handles.first().map_or(Ok(()), |foreign| self.check(foreign.allocation()))
    }
}

/// The pool of an allocation, and the window and shard in it.
fn place_of<T: Stage, K: KindTag>(handle: &Handle<T, K>) -> (u8, Location) {
    let allocation = handle.allocation();
    (allocation.pool, allocation.location.far(false))
}
