//! Growth: new blocks for a pool that has no room.
//!
//! Runs under the pool's change lock, so only one thread grows a pool at a time, and never under the lock of a shard while
//! memory is mapped (I10). The caller's own range is carved from the new block in the same step that makes its space
//! known to others, so the caller for which a block appears gets its range from it.

use execmem_types::{Extent, Growth, KindSet, PageSize, PowerOfTwo};

use super::{Pool, Taken, Worker};
use crate::Error;
use crate::base::handle::Location;
use crate::memory::{Blocks, Memory};
use crate::region::{Region, Want};
use crate::space::ReservationTag;
use crate::sync::Locking;

/// A block of a smaller page size has at least this many pages, so that a shortage of large pages does not cost one attempt
/// at a large one per page.
const FALLBACK_PAGES: u64 = 16;

/// Where rights flip, each function has pages of its own, and blocks are as long as an eighth of what is mapped, up to so
/// many pages: a few hundred blocks for any number of functions.
const LONGEST_STEP_PAGES: u64 = 512;

impl<M: Memory<S>, S: KindSet, L: Locking> Worker<'_, M, S, L> {
    /// Maps room for `want` in a window and carves it. `None` if the window has no addresses left.
    pub(super) fn grow(&self, number: usize, want: &Want) -> Result<Option<Taken>, Error> {
        match self.pool.page_sizes() {
            Some((largest, smallest)) if largest == smallest => self.grow_evenly(number, want, smallest),
            Some((largest, _)) if self.seam.extends() => self.extend(number, want, largest),
            _ => self.grow_whole(number, want),
        }
    }

    /// Grows by whole blocks of the first page size that has addresses and memory. Before smaller ones are mapped, any hole
    /// does.
    fn grow_whole(&self, number: usize, want: &Want) -> Result<Option<Taken>, Error> {
        let mut refusal = None;
        for (step, page) in self.pool.row.descriptor.granularities().enumerate() {
            let least = if step == 0 { want.len } else { want.len.max(page.bytes() * FALLBACK_PAGES) };
            let grown = self.grow_by(number, want, page, least);
            if step == 0 {
                self.pool.note_large(matches!(grown, Ok(Some(_))));
            }
            match grown {
                Ok(None) => {}
                Ok(taken) => {
                    if step > 0 {
                        self.pool.row.events.fallbacks.count();
                    }
                    return Ok(taken);
                }
                Err(error) => refusal = Some(error),
            }
            if let Some(taken) = self.pool.take_from_any(number, want)? {
                return Ok(Some(taken));
            }
        }
        refusal.map_or(Ok(None), Err)
    }

    /// Grows where there is one page size: by an eighth of what is mapped, or as much as is needed if that is more, or all
    /// that can be had.
    fn grow_evenly(&self, number: usize, want: &Want, page: PageSize) -> Result<Option<Taken>, Error> {
        let step = match self.pool.row.descriptor.growth {
            Growth::Small => {
                let eighth = self.pool.mapped_bytes(number) / 8;
                let step = eighth.min(page.bytes() * LONGEST_STEP_PAGES);
                // For requests of one length, all of it will be used.
                step - step % want.len
            }
            Growth::Whole | Growth::Tail => 0,
        };
        match self.grow_by(number, want, page, want.len.max(step)) {
            Ok(Some(taken)) => Ok(Some(taken)),
            _ if step > want.len => self.grow_by(number, want, page, want.len),
            outcome => outcome,
        }
    }

    /// Grows by blocks of one page size that have `least` bytes at least.
    pub(super) fn grow_by(
        &self,
        number: usize,
        want: &Want,
        page: PageSize,
        least: u64,
    ) -> Result<Option<Taken>, Error> {
        let unit = page.max(want.align);
        let Some(len) = unit.round_up(least) else { return Ok(None) };
        let window = self.pool.windows()[number].extent;
        let Some(reserved) = self.seam.reserve(window, self.pool.tag(number), len, unit)? else { return Ok(None) };
        let blocks = self.seam.map_blocks(reserved, page, least)?;
        self.add_and_take(number, &blocks, want).map(Some)
    }

    /// Makes mapped blocks part of a window and carves `want` from them, in one step.
    pub(super) fn add_and_take(&self, number: usize, blocks: &Blocks, want: &Want) -> Result<Taken, Error> {
        let window = self.pool.window(number);
        let shard = self.pool.shard_for(blocks, window);
        let location = Location::new(shard, number);
        self.pool.note_used(shard);
        match self.pool.shard(location).with(|shard| shard.add_and_take(number, window, blocks, want)) {
            Ok(start) => Ok(Taken { start, location }),
            Err(error) => {
                self.seam.unmap_all(blocks);
                Err(error)
            }
        }
    }
}

impl<L: Locking> Pool<L> {
    /// The tag of reservations for one of its windows.
    pub(super) const fn tag(&self, number: usize) -> ReservationTag {
        ReservationTag::new(self.number, number)
    }

    /// The largest and the smallest page size.
    fn page_sizes(&self) -> Option<(PageSize, PageSize)> {
        let mut sizes = self.row.descriptor.granularities();
        let largest = sizes.next()?;
        Some((largest, sizes.last().unwrap_or(largest)))
    }

    /// Bytes mapped in a window.
    pub(super) fn mapped_bytes(&self, number: usize) -> u64 {
        let bytes = |region: &Region| region.mapped_bytes();
        self.shards().map(|shard| shard.with(|shard| shard.region(number).map_or(0, bytes))).sum()
    }
}

/// What an extent is rounded up to, or all of it.
pub(super) fn rounded(unit: PowerOfTwo, bytes: u64, all: Extent) -> u64 {
    unit.round_up(bytes).unwrap_or(u64::MAX).min(all.len())
}
