//! Growth in small steps: whole blocks large, the last one filled up with small pages.
//!
//! The last block of a region has the addresses of a whole large block and is mapped piece by piece. When complete it
//! becomes one large leaf. A request that does not fit in what is left continues in the next large block if its
//! addresses are free, so that nothing is lost between them.
//!
//! | growth | a step is at least | so |
//! |---|---|---|
//! | tail | what is needed | the fewest bytes are mapped, in the most steps |
//! | small | an eighth of what is mapped | at most an eighth more is mapped than needed, and the steps are few |

use execmem_types::{Extent, Growth, KindSet, PageSize};

use super::grow::rounded;
use super::{Taken, Worker};
use crate::Error;
use crate::base::handle::Location;
use crate::memory::{Blocks, Memory};
use crate::region::{Block, Tail, Want};
use crate::sync::Locking;

impl<M: Memory<S>, S: KindSet, L: Locking> Worker<'_, M, S, L> {
    /// Maps room for `want` by growing the last block, by continuing after it, or by a new one.
    pub(super) fn extend(&self, number: usize, want: &Want, large: PageSize) -> Result<Option<Taken>, Error> {
        let step = self.step(number);
        let window = self.pool.window(number);
        let location = Location::new(self.pool.number_of(L::shard_hint()), number);
        let find = |shard: &mut super::Shard| shard.region(number).and_then(|region| region.tail(window, want));
        if let Some(tail) = self.pool.shard(location).with(find)
            && let Some(taken) = self.continue_tail(number, want, &tail, step, large)?
        {
            return Ok(Some(taken));
        }
        let least = want.len.max(step);
        // A step of half a leaf is not worth the small pages.
        let least = if step >= large.bytes() / 2 { rounded(large, least, window.extent) } else { least };
        match self.grow_by(number, want, large, least.max(want.len)) {
            Ok(None) => self.grow_by(number, want, large, want.len),
            outcome => outcome,
        }
    }

    /// The least that a step maps.
    fn step(&self, number: usize) -> u64 {
        match self.pool.row.descriptor.growth {
            Growth::Small => self.pool.mapped_bytes(number) / 8,
            Growth::Whole | Growth::Tail => 0,
        }
    }

    /// Grows an incomplete block until it, and blocks after it, hold the request. `None` if the addresses after it are
    /// not free.
    #[inline(never)] // Its list of blocks is not on the stack where another is made.
    fn continue_tail(
        &self,
        number: usize,
        want: &Want,
        tail: &Tail,
        step: u64,
        large: PageSize,
    ) -> Result<Option<Taken>, Error> {
        let Block { extent, reserved, page, .. } = tail.block;
        let left = reserved.len() - extent.len();
        let needed = u64::try_from(tail.end - extent.end()).unwrap_or(u64::MAX);
        let beyond = needed.saturating_sub(left);
        let grown = page.round_up(needed.max(step)).unwrap_or(left).min(left);
        let Some(extension) = reserved.part(extent.len(), grown) else { return Ok(None) };
        let Some(next) = self.reserve_after(number, reserved, beyond, large) else { return Ok(None) };
        let mut blocks = match next {
            Some(next) => self.seam.map_blocks(next, large, beyond)?,
            None => Blocks::new(),
        };
        if blocks.try_reserve(1).is_err() {
            self.seam.unmap_all(&blocks);
            return Err(Error::OutOfMemory);
        }
        match self.seam.map_more(extension, &tail.block) {
            Ok(more) => blocks.insert(0, more),
            Err(error) => {
                self.seam.unmap_all(&blocks);
                return Err(error);
            }
        }
        let taken = self.add_and_take(number, &blocks, want)?;
        if grown == left {
            self.collapse(taken.location, reserved);
        }
        Ok(Some(taken))
    }

    /// Reserves whole large blocks for `len` bytes right after an extent. `Some(None)` if none are needed.
    fn reserve_after(&self, number: usize, extent: Extent, len: u64, large: PageSize) -> Option<Option<Extent>> {
        if len == 0 {
            return Some(None);
        }
        let next = Extent::new(extent.last().checked_add(1)?, large.round_up(len)?)?;
        let window = self.pool.windows()[number].extent;
        self.seam.reserve_at(window, self.pool.tag(number), next).then_some(Some(next))
    }

    /// Turns a complete block of small leaves into one large leaf, if the backend can.
    pub(super) fn collapse(&self, location: Location, extent: Extent) {
        let Some(large) = self.pool.row.descriptor.granularities().next() else { return };
        if !self.seam.collapse(extent, large) {
            return;
        }
        self.pool.shard(location).with(|shard| {
            if let Some(region) = shard.region_mut(location.window()) {
                region.blocks_of(extent).iter_mut().for_each(|block| block.page = large);
            }
        });
    }
}
