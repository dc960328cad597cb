//! Which blocks empty, and when empty ones go.
//!
//! Best fit fills every hole of every block, so under a steady load no block would ever become empty again after a peak.
//! Therefore the emptiest block of a region is *avoided*: it serves only what no other block can. Its memory is freed by
//! and by, and then the next emptiest is avoided. An empty block is kept for a while, so that a load at the edge of a
//! block maps nothing, but not for longer than it takes to free the bytes of a few blocks.

use execmem_types::Extent;

use crate::block::Block;

/// Empty blocks that are kept at most.
pub(crate) const SPARE_BLOCKS: usize = 1;

/// An empty block goes when so many times its bytes were freed and it was not needed.
const SPARE_PATIENCE: u64 = 4;

/// After so many frees the block to avoid is chosen anew.
const FREES_PER_CHOICE: u32 = 256;

/// What a region remembers to decide.
#[derive(Debug, Default)]
pub(crate) struct Drain {
    /// Blocks without live bytes.
    empty: usize,
    /// Bytes freed since the number of empty blocks changed.
    freed_bytes: u64,
    frees_to_choice: u32,
    avoided: Option<Extent>,
}

impl Drain {
    /// Blocks without live bytes.
    pub(crate) const fn empty(&self) -> usize {
        self.empty
    }

    /// The number of empty blocks changes.
    pub(crate) fn set_empty(&mut self, empty: usize) {
        self.empty = empty;
        self.freed_bytes = 0;
        self.frees_to_choice = 0;
    }

    /// Live bytes of a block change from `before` to `after`.
    #[inline]
    pub(crate) fn count(&mut self, before: u64, after: u64) {
        match (before, after) {
            (0, 0) => {}
            (0, _) => self.set_empty(self.empty - 1),
            (_, 0) => self.set_empty(self.empty + 1),
            _ => {}
        }
    }

    /// How many empty blocks should be kept, after `bytes` more were freed.
    #[inline]
    pub(crate) fn spares_after(&mut self, bytes: u64, blocks: &[Block]) -> usize {
        if self.empty == 0 {
            return 0;
        }
        self.freed_bytes += bytes;
        let longest = blocks.iter().filter(|block| block.live == 0).map(|block| block.extent.len()).max();
        let is_unneeded = longest.is_some_and(|len| self.freed_bytes > len.saturating_mul(SPARE_PATIENCE));
        if is_unneeded { 0 } else { SPARE_BLOCKS }
    }

    /// The block to avoid from now on, if it is another than before. `None` inside means none.
    #[inline]
    pub(crate) fn choose(&mut self, blocks: &[Block]) -> Option<Option<Extent>> {
        if let Some(left) = self.frees_to_choice.checked_sub(1) {
            self.frees_to_choice = left;
            return None;
        }
        self.frees_to_choice = FREES_PER_CHOICE;
        let emptiest = blocks.iter().filter(|_| blocks.len() > 1).min_by_key(|block| block.live);
        let chosen = emptiest.map(|block| block.extent);
        (core::mem::replace(&mut self.avoided, chosen) != chosen).then_some(chosen)
    }

    /// A block goes.
    pub(crate) fn forget(&mut self, extent: Extent) {
        if self.avoided == Some(extent) {
            self.avoided = None;
        }
    }
}
