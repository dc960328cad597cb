//! Where an allocation goes: donated memory first, then window by window, in existing blocks first, then in new ones.

use execmem_types::KindSet;

use super::{Pool, Worker};
use crate::Error;
use crate::base::handle::{Allocation, Location};
use crate::memory::Memory;
use crate::region::Want;
use crate::sync::Locking;

/// A place that was found.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Taken {
    pub(crate) start: u64,
    pub(crate) location: Location,
}

impl<M: Memory<S>, S: KindSet, L: Locking> Worker<'_, M, S, L> {
    /// Finds a place, and maps memory for it if there is none and it may.
    #[inline]
    pub(crate) fn place(&self, want: &Want, may_grow: bool) -> Result<Taken, Error> {
        if self.pool.row.seals_blocks() || self.pool.has_donations() {
            return self.place_specially(want, may_grow);
        }
        match self.pool.take(0, want)? {
            Some(taken) => Ok(taken),
            None => self.place_elsewhere(want, may_grow),
        }
    }

    /// The same after the blocks of the first window had no place.
    #[cold]
    fn place_elsewhere(&self, want: &Want, may_grow: bool) -> Result<Taken, Error> {
        for number in 0..self.pool.windows().len() {
            if let Some(taken) = self.pool.take(number, want)? {
                return Ok(taken);
            }
            if may_grow && let Some(taken) = self.pool.change.with(|()| self.take_or_grow(number, want))? {
                return Ok(taken);
            }
        }
        Err(self.pool.no_place(want, may_grow))
    }

    /// The same for pools that have donated memory, or seal blocks as a whole.
    #[cold]
    fn place_specially(&self, want: &Want, may_grow: bool) -> Result<Taken, Error> {
        if self.pool.row.seals_blocks() {
            // To open a block is to change its rights.
            return if may_grow {
                self.pool.change.with(|()| self.place_open(want))
            } else {
                Err(self.pool.no_place(want, may_grow))
            };
        }
        match self.pool.take_donated(want)? {
            Some(taken) => Ok(taken),
            None => self.place_elsewhere(want, may_grow),
        }
    }

    /// Looks again, because another thread may have made room meanwhile, and then makes room. Under the change lock.
    fn take_or_grow(&self, number: usize, want: &Want) -> Result<Option<Taken>, Error> {
        match self.pool.take(number, want)? {
            Some(taken) => Ok(Some(taken)),
            None => self.grow(number, want),
        }
    }

    /// Finds a place and opens the blocks that it touches. Under the change lock.
    fn place_open(&self, want: &Want) -> Result<Taken, Error> {
        for number in 0..self.pool.windows().len() {
            let Some(taken) = self.take_or_grow(number, want)? else { continue };
            if let Err(source) = self.open_blocks(taken.location, self.pool.extent_of(taken, want)) {
                if self.pool.forget(want, taken) {
                    self.release_surplus(taken.location);
                }
                return Err(self.seam.refused(source));
            }
            return Ok(taken);
        }
        Err(self.pool.no_place(want, true))
    }

    /// Takes back a place that was not handed out, and what was mapped for it if that is too much.
    pub(crate) fn give_back(&self, want: &Want, taken: Taken) {
        self.uncount(want, taken);
        if self.pool.forget(want, taken) {
            self.release_surplus(taken.location);
        }
    }

    /// It is not going to be written.
    fn uncount(&self, want: &Want, taken: Taken) {
        if self.pool.row.seals_blocks() {
            let extent = self.pool.extent_of(taken, want);
            self.uncount_written(taken.location, extent);
            self.pool.change.with(|()| self.close_idle(taken.location, extent));
        }
    }
}

impl<L: Locking> Pool<L> {
    fn has_donations(&self) -> bool {
        self.donated[0].get().is_some()
    }

    fn take_donated(&self, want: &Want) -> Result<Option<Taken>, Error> {
        for (number, window) in self.donated() {
            let location = Location::new(0, number);
            if let Some(start) = self.shard(location).with(|shard| shard.take(number, window, want))? {
                return Ok(Some(Taken { start, location }));
            }
        }
        Ok(None)
    }

    /// The bytes of a place for a want.
    pub(super) fn extent_of(&self, taken: Taken, want: &Want) -> execmem_types::Extent {
        let start = taken.start - self.window(taken.location.window()).base;
        self.window(taken.location.window()).extent_of(&(start..start + want.len))
    }

    /// Frees a place in which nothing was written. True if there is surplus now.
    fn forget(&self, want: &Want, taken: Taken) -> bool {
        let (number, start) = (taken.location.window(), taken.start);
        let window = self.window(number);
        self.shard(taken.location).with(|shard| {
            shard.ungranted(want.sharer, want.len, want.requested);
            let freed = shard.region_mut(number).and_then(|region| region.free(window, start));
            freed.is_some_and(|freed| freed.has_surplus)
        })
    }

    /// Cuts an allocation in two after `len` bytes. In blocks that are sealed as a whole, one that is written counts twice
    /// where both parts touch.
    pub(crate) fn split(&self, allocation: &Allocation, len: u64, is_written: bool) -> Result<(), Error> {
        let Allocation { location, start, sharer, .. } = *allocation;
        let window = self.window(location.window());
        self.shard(location).with(|shard| {
            let Some(region) = shard.region_mut(location.window()) else { panic!("I1: {start:#x} is in no region") };
            let second = region.split(window, start, len)?;
            if self.row.seals_blocks() && is_written {
                for block in region.blocks_of(allocation.extent()) {
                    block.open += u32::from(block.extent.start() < second && second <= block.extent.last());
                }
            }
            shard.count_split(sharer);
            Ok(())
        })
    }

    /// Why there is no place.
    fn no_place(&self, want: &Want, may_grow: bool) -> Error {
        let (kind, len) = (self.row.name, want.len);
        if may_grow {
            Error::Exhausted { kind, len, windows: self.windows.len(), largest: self.largest_hole() }
        } else {
            Error::NeedsGrowth { kind, len }
        }
    }
}
