//! Blocks that are sealed as a whole.
//!
//! A block counts the allocations in it that are not sealed: it is writable while there are any and read-only when there are
//! none, so its large leaf stays whole. Rights change under the pool's change lock only; allocating here is rare, and takes
//! it as well. A free that must not wait only takes itself out of the count: then a block can be *idle*, writable with no
//! allocation that is written, until the next allocation in it or [`maintain`](crate::Engine::maintain).

use execmem_types::{BackendError, Extent, Growth, KindSet, Protection};

use super::Worker;
use crate::base::handle::{Location, StageOf};
use crate::memory::Memory;
use crate::region::Block;
use crate::sync::Locking;

impl<M: Memory<S>, S: KindSet, L: Locking> Worker<'_, M, S, L> {
    /// Counts an allocation that is written in the blocks it touches, and makes those writable that are not. On failure all
    /// is as before. Under the change lock.
    pub(super) fn open_blocks(&self, location: Location, extent: Extent) -> Result<(), BackendError> {
        for block in self.blocks_in(location, extent) {
            let is_closed = block.is_closed;
            let opened = if is_closed { self.seam.protect(block.extent, Protection::ReadWrite) } else { Ok(()) };
            if let Err(refusal) = opened {
                if let Some(before) = Extent::between(extent.start(), block.extent.start().into()) {
                    self.uncount_written(location, before);
                    self.close_idle(location, before);
                }
                return Err(refusal);
            }
            self.for_blocks(location, block.extent, |block| {
                block.open += 1;
                block.is_closed = false;
            });
        }
        Ok(())
    }

    /// Takes an allocation out of the count of the blocks it touches, and makes those read-only that have no other. On
    /// failure all is as before. Under the change lock.
    pub(crate) fn close_blocks(&self, location: Location, extent: Extent) -> Result<(), BackendError> {
        for block in self.blocks_in(location, extent).filter(|block| block.open == 1) {
            if let Err(refusal) = self.seam.protect(block.extent, self.pool.row.descriptor.protection) {
                let closed = |other: &Block| other.open == 1 && other.extent.start() < block.extent.start();
                for closed in self.blocks_in(location, extent).filter(closed) {
                    self.set_closed(
                        location,
                        &closed,
                        self.seam.protect(closed.extent, Protection::ReadWrite).is_err(),
                    );
                }
                return Err(refusal);
            }
            self.set_closed(location, &block, true);
        }
        self.uncount_written(location, extent);
        self.collapse_complete(location, extent);
        Ok(())
    }

    /// Takes an allocation out of the count of the blocks it touches, and changes no rights. Under no lock but the shard's.
    pub(super) fn uncount_written(&self, location: Location, extent: Extent) {
        self.for_blocks(location, extent, |block| block.open = block.open.saturating_sub(1));
    }

    /// Makes the idle blocks read-only that an extent touches. Those for which the backend refuses that stay idle. Under the
    /// change lock.
    pub(super) fn close_idle(&self, location: Location, extent: Extent) {
        for block in self.blocks_in(location, extent).filter(Block::is_idle) {
            let is_closed = self.seam.protect(block.extent, self.pool.row.descriptor.protection).is_ok();
            self.set_closed(location, &block, is_closed);
        }
    }

    /// Destroys the content of an allocation. On failure it is as before, except that it is not counted as written. Under the
    /// change lock.
    pub(super) fn retire_in_blocks(
        &self,
        stage: StageOf,
        location: Location,
        extent: Extent,
    ) -> Result<(), BackendError> {
        if stage == StageOf::Sealed {
            self.open_blocks(location, extent)?;
        }
        let wiped = self.seam.fill(extent);
        self.uncount_written(location, extent);
        self.close_idle(location, extent);
        wiped
    }

    /// Growing a block while other pages of it were read-only could not make one leaf of it; this does.
    fn collapse_complete(&self, location: Location, extent: Extent) {
        let large = self.pool.row.descriptor.granularities().next();
        if self.pool.row.descriptor.growth == Growth::Whole {
            return;
        }
        for block in self.blocks_in(location, extent) {
            if block.is_complete() && Some(block.page) != large {
                self.collapse(location, block.extent);
            }
        }
    }

    /// The blocks that an extent touches, one after the other.
    pub(crate) fn blocks_in(&self, location: Location, extent: Extent) -> impl Iterator<Item = Block> + '_ {
        let mut from = Some(extent.start());
        core::iter::from_fn(move || {
            let rest = Extent::between(from?, extent.end())?;
            let first =
                |shard: &mut super::Shard| shard.region_mut(location.window())?.blocks_of(rest).first().copied();
            let block = self.pool.shard(location).with(first)?;
            from = block.extent.last().checked_add(1);
            Some(block)
        })
    }

    fn set_closed(&self, location: Location, block: &Block, is_closed: bool) {
        self.for_blocks(location, block.extent, |block| block.is_closed = is_closed);
    }

    fn for_blocks(&self, location: Location, extent: Extent, update: impl Fn(&mut Block)) {
        self.pool.shard(location).with(|shard| {
            if let Some(region) = shard.region_mut(location.window()) {
                region.blocks_of(extent).iter_mut().for_each(update);
            }
        });
    }
}
