//! Growth by the tail: whole blocks large, the last one filled up with small pages.
//!
//! The last block of a region has the addresses of a whole large block and grows page by page. When complete it
//! becomes one large leaf. A request that does not fit in what is left continues in the next large block if its
//! addresses are free, so that nothing is lost between them.

use execmem_types::{Backend, Extent, PageSize};

use crate::grow::Blocks;
use crate::pool::Pool;
use crate::region::{Block, Tail, Want};
use crate::sync::RawMutex;
use crate::{Engine, Error};

impl<B: Backend, R: RawMutex> Engine<B, R> {
    /// Maps room for `want` by growing the last block, by continuing after it, or by a new one.
    pub(crate) fn grow_tail(
        &self,
        pool: &Pool<R>,
        index: usize,
        window: Extent,
        want: &Want,
    ) -> Result<Option<Extent>, Error> {
        let Some(large) = pool.descriptor.granularities().next() else { return Ok(None) };
        let tail = pool.search.with(|search| search.window_mut(index).as_mut().and_then(|region| region.tail(want)));
        if let Some(tail) = tail
            && let Some(extent) = self.continue_tail(pool, index, window, want, tail)?
        {
            return Ok(Some(extent));
        }
        let unit = large.max(want.align);
        let Some(len) = unit.round_up(want.len) else { return Ok(None) };
        let placement = pool.descriptor.placement;
        let reserved = self.space.with(|space| space.reserve(window, len, unit, placement))?;
        let Some(reserved) = reserved else { return Ok(None) };
        let blocks = self.map_blocks(pool, reserved, large, want.len)?;
        self.add_and_take(pool, index, window, &blocks, want).map(Some)
    }

    /// Grows an incomplete block until it, and blocks after it, hold the request. `None` if the addresses after it are
    /// not free.
    fn continue_tail(
        &self,
        pool: &Pool<R>,
        index: usize,
        window: Extent,
        want: &Want,
        tail: Tail,
    ) -> Result<Option<Extent>, Error> {
        let Block { extent, reserved, page, .. } = tail.block;
        let Some(large) = pool.descriptor.granularities().next() else { return Ok(None) };
        let left = reserved.len() - extent.len();
        let needed = u64::try_from(tail.end - extent.end()).unwrap_or(u64::MAX);
        let beyond = needed.saturating_sub(left);
        let grown = page.round_up(needed).unwrap_or(left).min(left);
        let Some(extension) = reserved.part(extent.len(), grown) else { return Ok(None) };
        let Some(next) = self.reserve_after(window, reserved, beyond, large) else { return Ok(None) };
        let mut blocks = match next {
            Some(next) => self.map_blocks(pool, next, large, beyond)?,
            None => Blocks::new(),
        };
        if let Err(error) = self.map(pool, extension, page) {
            self.unmap(pool, &blocks);
            return Err(error);
        }
        blocks.insert(0, Block::new(extension, page, reserved));
        let taken = self.add_and_take(pool, index, window, &blocks, want)?;
        if grown == left {
            self.collapse(pool, reserved);
        }
        Ok(Some(taken))
    }

    /// Reserves whole large blocks for `len` bytes right after an extent. `Some(None)` if none are needed.
    fn reserve_after(&self, window: Extent, extent: Extent, len: u64, large: PageSize) -> Option<Option<Extent>> {
        if len == 0 {
            return Some(None);
        }
        let len = large.round_up(len)?;
        let next = Extent::new(extent.last().checked_add(1)?, len)?;
        self.space.with(|space| space.reserve_at(window, next)).then_some(Some(next))
    }

    /// Turns a complete block of small leaves into one large leaf, if the backend can.
    pub(crate) fn collapse(&self, pool: &Pool<R>, extent: Extent) {
        let Some(large) = pool.descriptor.granularities().next() else { return };
        if self.backend.collapse(extent, large).is_err() {
            return;
        }
        pool.search.with(|search| {
            search.counters.collapses += 1;
            if let Some(region) = search.region_of(extent.start()) {
                region.blocks_of(extent).iter_mut().for_each(|block| block.page = large);
            }
        });
    }
}
