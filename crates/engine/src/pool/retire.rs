//! The end of allocations: their content is destroyed, then their place is free, and blocks that empty go.
//!
//! | what fails, or must not be waited for | what becomes of it | tried again |
//! |---|---|---|
//! | destroying content | the place is *withheld*: free, joined with its free neighbours, and served to no request | after a free in the same blocks, by `maintain` and `shrink` |
//! | unmapping an empty block | it stays where it was | when it is empty the next time, by `maintain` and `shrink` |
//!
//! Nothing of this takes heap. A withheld place is retired under the change lock only, so that no two threads do; it may
//! grow meanwhile, and then is retired anew.

use execmem_types::{Extent, KindSet, SyncScope};
use smallvec::SmallVec;

use super::{Shard, Worker};
use crate::base::handle::{Allocation, Location, StageOf};
use crate::memory::Memory;
use crate::region::{Block, Freed};
use crate::sync::Locking;

/// Allocations that are freed under one lock at most: it is held that much longer.
pub(crate) const TOGETHER: usize = 8;

/// Withheld places that other processors learn of at once.
const BATCH: usize = 16;

/// Refusals after which the backend is left alone until the next time.
const PATIENCE: usize = 16;

impl<M: Memory<S>, S: KindSet, L: Locking> Worker<'_, M, S, L> {
    /// Frees allocations of a stage in one window of one shard under one lock: at most [`TOGETHER`]. If it `defers`, it waits
    /// for nothing but that lock.
    #[inline(always)]
    pub(crate) fn free_run(&self, stage: StageOf, allocations: &[Allocation], defers: bool) -> Freed {
        let mut freed = Freed::NOTHING;
        let Some(Allocation { location, .. }) = allocations.first() else { return freed };
        // A bit for each.
        let mut retired = 0_u32;
        for (number, allocation) in allocations.iter().enumerate() {
            let is_retired = match defers {
                false => self.retire(stage, allocation),
                true => self.retire_at_once(stage, allocation),
            };
            retired |= u32::from(is_retired) << number;
            if let Some(kind) = S::from_number(allocation.kind) {
                self.seam.tell_freed(kind, allocation.extent());
            }
        }
        let window = self.pool.window(location.window());
        self.pool.shard(*location).with(|shard| {
            for (number, allocation) in allocations.iter().enumerate() {
                freed = freed.and(shard.free(window, allocation, retired >> number & 1 != 0));
            }
        });
        freed
    }

    /// Does what a free made due.
    #[cold]
    pub(crate) fn follow_up(&self, location: Location, freed: Freed) {
        if freed.has_surplus {
            self.release_surplus(location);
        }
        if freed.has_withheld {
            self.retry_one(location);
        }
    }

    /// Destroys the content of an allocation; false if the backend refuses.
    #[inline]
    fn retire(&self, stage: StageOf, allocation: &Allocation) -> bool {
        if self.pool.row.seals_blocks() {
            return self.retire_sealing(stage, allocation);
        }
        self.seam.retire(stage, allocation.extent()).is_ok()
    }

    /// The same where blocks are sealed as a whole.
    #[cold]
    fn retire_sealing(&self, stage: StageOf, allocation: &Allocation) -> bool {
        let Allocation { location, .. } = *allocation;
        self.pool.change.with(|()| self.retire_in_blocks(stage, location, allocation.extent())).is_ok()
    }

    /// The same without changing rights or waiting for other processors; false if that is due.
    #[inline(never)]
    fn retire_at_once(&self, stage: StageOf, allocation: &Allocation) -> bool {
        let row = &self.pool.row;
        if row.seals_blocks() {
            if stage != StageOf::Sealed {
                self.uncount_written(allocation.location, allocation.extent());
            }
            return false;
        }
        // Code traps from now on, though a processor may have fetched it before.
        !row.changes_rights() && self.seam.fill(allocation.extent()).is_ok() && row.retires_at_once()
    }

    /// Retires the place that was withheld last, which may have become larger than it was when the backend refused.
    #[cold]
    fn retry_one(&self, location: Location) {
        self.pool.change.try_with(|()| {
            if let Some(hole) = self.withheld(location).first() {
                self.retire_withheld(location, &[*hole]);
            }
        });
    }

    /// Retires what is withheld in a window of a shard, as long as the backend does not refuse too often.
    pub(crate) fn retry_all(&self, location: Location) {
        let mut refusals = 0;
        while refusals < PATIENCE {
            let is_done = self.pool.change.with(|()| {
                let holes = self.withheld(location);
                let released = self.retire_withheld(location, &holes);
                refusals += usize::from(released < holes.len());
                holes.is_empty()
            });
            if is_done {
                return;
            }
        }
    }

    /// Some of the places that are withheld.
    fn withheld(&self, location: Location) -> SmallVec<[Extent; BATCH]> {
        let number = location.window();
        let window = self.pool.window(number);
        self.pool.shard(location).with(|shard| match shard.region(number) {
            Some(region) => region.withheld(window).take(BATCH).collect(),
            None => SmallVec::new(),
        })
    }

    /// Retires withheld places and releases them. Returns how many. Under the change lock.
    fn retire_withheld(&self, location: Location, holes: &[Extent]) -> usize {
        let row = &self.pool.row;
        let is_retired = |hole: &Extent| match row.seals_blocks() {
            true => self.retire_in_blocks(StageOf::Sealed, location, *hole).is_ok(),
            false => self.seam.unpublish(*hole).and_then(|()| self.seam.fill(*hole)).is_ok(),
        };
        let retired: SmallVec<[Extent; BATCH]> = holes.iter().copied().filter(is_retired).collect();
        if self.seam.sync_all(&retired, SyncScope::Retired).is_err() {
            return 0;
        }
        let number = location.window();
        let window = self.pool.window(number);
        let release = |hole: &Extent| {
            self.pool
                .shard(location)
                .with(|shard| shard.region_mut(number).is_some_and(|region| region.release(window, *hole)))
        };
        retired.iter().filter(|hole| release(hole)).count()
    }

    /// Does what frees left undone in a window of a shard. Returns the bytes of blocks that went.
    pub(crate) fn maintain(&self, location: Location) -> u64 {
        self.retry_all(location);
        if self.pool.row.seals_blocks() {
            let extent = self.pool.window(location.window()).extent;
            self.pool.change.with(|()| self.close_idle(location, extent));
        }
        self.release_surplus(location)
    }

    /// Unmaps the empty blocks of a window of a shard that are not needed. Returns their bytes.
    #[cold]
    pub(crate) fn release_surplus(&self, location: Location) -> u64 {
        let (number, window) = (location.window(), self.pool.window(location.window()));
        self.release_blocks(location, |shard| shard.region_mut(number)?.take_surplus(window))
    }

    /// Unmaps all empty blocks of a window of a shard. Returns their bytes.
    pub(crate) fn release_empty(&self, location: Location) -> u64 {
        let (number, window) = (location.window(), self.pool.window(location.window()));
        self.release_blocks(location, |shard| shard.region_mut(number)?.take_empty(window))
    }

    fn release_blocks(&self, location: Location, take: impl Fn(&mut Shard) -> Option<Block>) -> u64 {
        let mut bytes = 0;
        while let Some(block) = self.pool.shard(location).with(&take) {
            if self.seam.unmap_block(&block).is_err() {
                self.put_back(location, &block);
                break;
            }
            bytes += block.extent.len();
        }
        bytes
    }

    /// Makes an empty block that the backend did not unmap part of its region again.
    fn put_back(&self, location: Location, block: &Block) {
        let (number, window) = (location.window(), self.pool.window(location.window()));
        let add = |shard: &mut Shard| shard.region_mut(number).map(|region| region.add(window, &[*block]));
        if !matches!(self.pool.shard(location).with(add), Some(Ok(()))) {
            self.seam.lose(block);
        }
    }
}
