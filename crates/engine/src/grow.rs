//! Growth: new blocks for a pool that has no room.
//!
//! Runs under the pool's change lock, so only one caller grows a pool at a time, and never under the lock of a shard while
//! memory is mapped (I10). The caller's own range is carved from the new block in the same step that makes its space
//! known to others, so whoever caused a block to appear gets its range from it.

use execmem_types::{Backend, Extent, Growth, Mapping, PageSize, PowerOfTwo};
use smallvec::SmallVec;

use crate::block::Block;
use crate::lookup::reservation_tag;
use crate::pool::Pool;
use crate::region::Want;
use crate::shard::{Placed, Site};
use crate::sync::Locking;
use crate::{Engine, Error};

/// A block of a smaller granularity has at least this many pages, so that a shortage of large pages does not cost one
/// attempt at a large one per page.
const FALLBACK_PAGES: u64 = 16;

/// Blocks next to each other, in order of address, mapped and not yet part of a region.
pub(crate) type Blocks = SmallVec<[Block; 4]>;

impl<B: Backend, L: Locking> Engine<B, L> {
    /// Maps room for `want` in a window and carves it. `None` if the window has no addresses left.
    pub(crate) fn grow(&self, pool: &Pool<L>, index: usize, want: &Want) -> Result<Placed, Error> {
        match pool.descriptor.growth {
            Growth::Whole => self.grow_whole(pool, index, want),
            Growth::Tail => self.grow_tail(pool, index, want),
        }
    }

    /// Grows by whole blocks of the first granularity that has addresses and memory. Before smaller ones are mapped, any
    /// hole does.
    fn grow_whole(&self, pool: &Pool<L>, index: usize, want: &Want) -> Result<Placed, Error> {
        let mut refusal = None;
        for (step, page) in pool.descriptor.granularities().enumerate() {
            let least = if step == 0 { want.len } else { want.len.max(page.bytes() * FALLBACK_PAGES) };
            let placed = self.grow_by(pool, index, want, page, least);
            if step == 0 {
                pool.note_large(matches!(placed, Ok(Some(_))));
            }
            match placed {
                Ok(None) => {}
                Ok(placed) => {
                    pool.count(|counters| counters.fallbacks += u64::from(step > 0));
                    return Ok(placed);
                }
                Err(error) => refusal = Some(error),
            }
            if let Some(placed) = pool.take_anywhere(index, want)? {
                return Ok(Some(placed));
            }
        }
        refusal.map_or(Ok(None), Err)
    }

    /// Grows by blocks of one granularity that have `least` bytes at least.
    pub(crate) fn grow_by(
        &self,
        pool: &Pool<L>,
        index: usize,
        want: &Want,
        page: PageSize,
        least: u64,
    ) -> Result<Placed, Error> {
        let unit = page.max(want.align);
        let Some(len) = unit.round_up(least) else { return Ok(None) };
        let Some(reserved) = self.reserve(pool, index, len, unit)? else { return Ok(None) };
        let blocks = self.map_blocks(pool, reserved, page, least)?;
        self.add_and_take(pool, index, &blocks, want).map(Some)
    }

    /// Takes addresses of a window for a pool.
    pub(crate) fn reserve(
        &self,
        pool: &Pool<L>,
        index: usize,
        len: u64,
        align: PowerOfTwo,
    ) -> Result<Option<Extent>, Error> {
        let (window, placement) = (pool.windows[index].extent, pool.descriptor.placement);
        let tag = reservation_tag(pool.number, index);
        self.space.with(|space| space.reserve(window, len, align, placement, tag))
    }

    /// Maps a reservation in leaves of `page`, one block a leaf, or one block where there is no smaller granularity. A
    /// leaf that cannot be had is replaced by smaller ones, as far as the `needed` bytes go. On failure the addresses
    /// are given back.
    pub(crate) fn map_blocks(
        &self,
        pool: &Pool<L>,
        reserved: Extent,
        page: PageSize,
        needed: u64,
    ) -> Result<Blocks, Error> {
        let is_smallest = pool.descriptor.granularities().last() == Some(page);
        let unit = if is_smallest { reserved.len() } else { page.bytes() };
        self.space.with(|space| space.divide(reserved, unit))?;
        let mut blocks = Blocks::new();
        let mut rest = Some(reserved);
        while let Some(extent) = rest {
            let Some(piece) = extent.part(0, unit.min(extent.len())) else { break };
            let mapped = piece.start() - reserved.start();
            match self.map_unit(pool, piece, page, needed.saturating_sub(mapped).max(1), mapped == 0) {
                Ok(block) => blocks.push(block),
                Err(error) => {
                    self.space.with(|space| space.release_all(extent, unit));
                    self.unmap(pool, &blocks);
                    return Err(error);
                }
            }
            rest = extent.part(piece.len(), extent.len() - piece.len());
        }
        Ok(blocks)
    }

    /// Maps one leaf of `page`, or as many smaller ones as are needed. A pool that grows by the tail prefers those if
    /// less than the whole leaf is needed; one that grows by whole blocks does not use them for the first leaf of all,
    /// because blocks of smaller leaves may find a tighter place elsewhere.
    fn map_unit(
        &self,
        pool: &Pool<L>,
        reserved: Extent,
        page: PageSize,
        needed: u64,
        is_first: bool,
    ) -> Result<Block, Error> {
        let is_tail = pool.descriptor.growth == Growth::Tail;
        let mut refusal = Error::OutOfMemory;
        for size in pool.descriptor.granularities().skip_while(|&size| size > page) {
            if is_tail && size == page && needed < reserved.len() {
                continue;
            }
            let len = if size == page { Some(reserved.len()) } else { size.round_up(needed) };
            let extent = reserved.part(0, len.unwrap_or(u64::MAX).min(reserved.len())).unwrap_or(reserved);
            match self.map(pool, extent, size) {
                Ok(()) => return Ok(Block::new(extent, size, reserved)),
                Err(error) => refusal = error,
            }
            if is_first && !is_tail {
                break;
            }
        }
        Err(refusal)
    }

    /// Maps an extent the way the pool wants it.
    pub(crate) fn map(&self, pool: &Pool<L>, extent: Extent, page: PageSize) -> Result<(), Error> {
        let mapping = Mapping {
            extent,
            page,
            protection: pool.unpublished_protection(),
            unused: self.unused_pattern(pool),
            is_shadowed: pool.descriptor.is_shadowed,
            is_writable_and_executable: pool.descriptor.is_writable_and_executable,
        };
        self.backend.map(&mapping).map_err(|source| Error::Backend { kind: pool.kind, source })?;
        pool.count(|counters| counters.maps += 1);
        Ok(())
    }

    /// Makes mapped blocks part of a window and carves `want` from them, in one step.
    pub(crate) fn add_and_take(
        &self,
        pool: &Pool<L>,
        index: usize,
        blocks: &Blocks,
        want: &Want,
    ) -> Result<(Extent, Site), Error> {
        let window = &pool.windows[index];
        let site = Site::new(pool.shard_for(blocks, window), index);
        pool.note_used(site);
        match pool.shard(site).with(|shard| shard.add_and_take(index, window, blocks, want)) {
            Ok(extent) => Ok((extent, site)),
            Err(error) => {
                self.unmap(pool, blocks);
                Err(error)
            }
        }
    }

    /// Unmaps blocks that are part of no region and gives their addresses back. Addresses of a block that the backend
    /// does not unmap are never used again.
    pub(crate) fn unmap(&self, pool: &Pool<L>, blocks: &[Block]) {
        for block in blocks {
            if self.backend.unmap(block.extent).is_err() {
                pool.lose(block);
                continue;
            }
            if block.owns_reservation() {
                self.space.with(|space| space.release(block.reserved));
            }
            pool.count(|counters| counters.unmaps += 1);
        }
    }
}
