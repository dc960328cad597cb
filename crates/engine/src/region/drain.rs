//! Which blocks empty, and when empty ones go.
//!
//! Best fit fills every hole of every block, so under a steady load no block would ever become empty again after a peak.
//! Therefore the emptiest block of a region is *draining*: it serves only what no other block can. Its memory is freed by
//! and by, and then the next emptiest is draining. An empty block is kept for a while, so that a load at the edge of a
//! block maps nothing, but not for longer than it takes to free the bytes of a few blocks.

use execmem_types::Extent;

use super::block::{Block, Ordered as _};

/// Empty blocks that are kept at most.
const SPARE_BLOCKS: usize = 1;

/// An empty block goes when so many times its bytes were freed and it was not needed.
const SPARE_PATIENCE: u64 = 4;

/// After so many frees, and at least as many as this for each hole there is, the block to drain is chosen anew.
const FREES_PER_CHOICE: usize = 256;
const FREES_PER_HOLE: usize = 8;

/// What a region remembers to decide.
#[derive(Debug, Default)]
pub(crate) struct Drain {
    /// Empty blocks.
    empty: usize,
    /// Bytes freed since the number of empty blocks changed.
    freed_bytes: u64,
    frees_to_choice: usize,
    draining: Option<Extent>,
}

impl Drain {
    /// Number of empty blocks.
    #[inline]
    pub(crate) const fn empty(&self) -> usize {
        self.empty
    }

    /// The number of empty blocks changes.
    pub(crate) const fn set_empty(&mut self, empty: usize) {
        self.empty = empty;
        self.freed_bytes = 0;
        self.frees_to_choice = 0;
    }

    /// An empty block goes.
    pub(crate) fn let_go(&mut self, extent: Extent) {
        self.empty -= 1;
        self.frees_to_choice = 0;
        if self.draining == Some(extent) {
            self.draining = None;
        }
    }

    /// So many bytes were freed.
    #[inline]
    pub(crate) const fn note_freed(&mut self, bytes: u64) {
        self.freed_bytes += bytes;
    }

    /// Whether there are more empty blocks than should be kept.
    #[inline]
    pub(crate) fn has_surplus(&self, blocks: &[Block]) -> bool {
        self.empty > 0 && self.empty > self.spares(blocks)
    }

    /// How many empty blocks should be kept.
    fn spares(&self, blocks: &[Block]) -> usize {
        let longest = blocks.iter().filter(|block| block.is_empty).map(|block| block.extent.len()).max();
        let is_unneeded = longest.is_some_and(|len| self.freed_bytes > len.saturating_mul(SPARE_PATIENCE));
        if is_unneeded { 0 } else { SPARE_BLOCKS }
    }

    /// Whether it is time to choose, after one more free.
    #[inline]
    pub(crate) const fn is_time(&mut self) -> bool {
        match self.frees_to_choice.checked_sub(1) {
            Some(left) => {
                self.frees_to_choice = left;
                false
            }
            None => true,
        }
    }

    /// The block that was chosen cannot be drained.
    pub(crate) fn forget_choice(&mut self) {
        self.draining = None;
    }

    /// The block to drain from now on, given where the holes are, if it is another than before. `None` inside means
    /// none.
    pub(crate) fn choose(
        &mut self,
        blocks: &mut [Block],
        holes: impl Iterator<Item = Extent>,
    ) -> Option<Option<Extent>> {
        blocks.iter_mut().for_each(|block| block.free = 0);
        let mut count = 0;
        for hole in holes {
            for block in blocks.touched(hole) {
                block.free += block.extent.intersection(hole).map_or(0, Extent::len);
            }
            count += 1;
        }
        self.frees_to_choice = FREES_PER_CHOICE.max(count * FREES_PER_HOLE);
        let emptiest = blocks.iter().filter(|_| blocks.len() > 1).min_by_key(|block| block.extent.len() - block.free);
        let chosen = emptiest.map(|block| block.extent);
        (core::mem::replace(&mut self.draining, chosen) != chosen).then_some(chosen)
    }
}
