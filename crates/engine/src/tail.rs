//! Growth by the tail: whole blocks large, the last one filled up with small pages.
//!
//! The last block of a region has the addresses of a whole large block and grows page by page. When complete it
//! becomes one large leaf. A request that does not fit in what is left continues in the next large block if its
//! addresses are free, so that nothing is lost between them.

use execmem_types::{Backend, Extent};

use crate::block::{Block, Tail};
use crate::grow::Blocks;
use crate::lookup::reservation_tag;
use crate::pool::Pool;
use crate::region::Want;
use crate::shard::{Placed, Site};
use crate::sync::Locking;
use crate::{Engine, Error};

impl<B: Backend, L: Locking> Engine<B, L> {
    /// Maps room for `want` by growing the last block, by continuing after it, or by a new one.
    pub(crate) fn grow_tail(&self, pool: &Pool<L>, index: usize, want: &Want) -> Result<Placed, Error> {
        let Some(large) = pool.descriptor.granularities().next() else { return Ok(None) };
        let shard = pool.shard(Site::new(0, index));
        let tail = shard.with(|shard| shard.window(index).and_then(|region| region.tail(want)));
        if let Some(tail) = tail
            && let Some(placed) = self.continue_tail(pool, index, want, tail)?
        {
            return Ok(Some(placed));
        }
        self.grow_by(pool, index, want, large, want.len)
    }

    /// Grows an incomplete block until it, and blocks after it, hold the request. `None` if the addresses after it are
    /// not free.
    fn continue_tail(&self, pool: &Pool<L>, index: usize, want: &Want, tail: Tail) -> Result<Placed, Error> {
        let Block { extent, reserved, page, .. } = tail.block;
        let Some(large) = pool.descriptor.granularities().next() else { return Ok(None) };
        let left = reserved.len() - extent.len();
        let needed = u64::try_from(tail.end - extent.end()).unwrap_or(u64::MAX);
        let beyond = needed.saturating_sub(left);
        let grown = page.round_up(needed).unwrap_or(left).min(left);
        let Some(extension) = reserved.part(extent.len(), grown) else { return Ok(None) };
        let Some(next) = self.reserve_after(pool, index, reserved, beyond) else { return Ok(None) };
        let mut blocks = match next {
            Some(next) => self.map_blocks(pool, next, large, beyond)?,
            None => Blocks::new(),
        };
        if let Err(error) = self.map(pool, extension, page) {
            self.unmap(pool, &blocks);
            return Err(error);
        }
        blocks.insert(0, Block::new(extension, page, reserved));
        let taken = self.add_and_take(pool, index, &blocks, want)?;
        if grown == left {
            self.collapse(pool, taken.1, reserved);
        }
        Ok(Some(taken))
    }

    /// Reserves whole large blocks for `len` bytes right after an extent. `Some(None)` if none are needed.
    fn reserve_after(&self, pool: &Pool<L>, index: usize, extent: Extent, len: u64) -> Option<Option<Extent>> {
        if len == 0 {
            return Some(None);
        }
        let len = pool.descriptor.granularities().next()?.round_up(len)?;
        let next = Extent::new(extent.last().checked_add(1)?, len)?;
        let window = pool.windows[index].extent;
        let tag = reservation_tag(pool.number, index);
        self.space.with(|space| space.reserve_at(window, next, tag)).then_some(Some(next))
    }

    /// Turns a complete block of small leaves into one large leaf, if the backend can.
    pub(crate) fn collapse(&self, pool: &Pool<L>, site: Site, extent: Extent) {
        let Some(large) = pool.descriptor.granularities().next() else { return };
        if self.backend.collapse(extent, large).is_err() {
            return;
        }
        pool.count(|counters| counters.collapses += 1);
        pool.shard(site).with(|shard| {
            if let Some(region) = shard.region_at(site, extent.start()) {
                region.blocks_of(extent).iter_mut().for_each(|block| block.page = large);
            }
        });
    }
}
