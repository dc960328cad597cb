//! Blocks come and go: addresses first, then memory. What could not be made whole is gone again.

use execmem_types::{BackendError, Extent, KindSet, PageSize, PowerOfTwo};
use smallvec::SmallVec;

use super::{Memory, Seam};
use crate::Error;
use crate::region::Block;
use crate::space::ReservationTag;
use crate::sync::RawMutex;

/// Blocks next to each other, in order of address, mapped and not yet part of a region.
pub(crate) type Blocks = SmallVec<[Block; 2]>;

impl<M: Memory<S>, S: KindSet, R: RawMutex> Seam<'_, M, S, R> {
    /// Takes addresses of a window. `None` if it has no such place.
    pub(crate) fn reserve(
        &self,
        window: Extent,
        tag: ReservationTag,
        len: u64,
        align: PowerOfTwo,
    ) -> Result<Option<Extent>, Error> {
        let placement = self.row().descriptor.placement;
        self.space.reserve(window, len, align, placement, tag)
    }

    /// Takes exactly these addresses, if they are free.
    pub(crate) fn reserve_at(&self, window: Extent, tag: ReservationTag, extent: Extent) -> bool {
        self.space.reserve_at(window, extent, tag)
    }

    /// Maps a reservation in leaves of `page`, one block a leaf, or one block where there is no smaller page size. A leaf
    /// that cannot be had is replaced by smaller ones, as far as the `needed` bytes go. On failure the addresses are given
    /// back.
    pub(crate) fn map_blocks(&self, reserved: Extent, page: PageSize, needed: u64) -> Result<Blocks, Error> {
        let is_smallest = self.row().descriptor.granularities().last() == Some(page);
        let unit = if is_smallest { reserved.len() } else { page.bytes() };
        let mut blocks = Blocks::new();
        let mut rest = Some(reserved);
        while let Some(extent) = rest {
            let Some(piece) = extent.part(0, unit.min(extent.len())) else { break };
            let mapped = piece.start() - reserved.start();
            let block = blocks
                .try_reserve(1)
                .map_err(|_| Error::OutOfMemory)
                .and_then(|()| self.map_unit(piece, page, needed.saturating_sub(mapped).max(1), mapped == 0));
            match block {
                Ok(block) => blocks.push(block),
                Err(error) => {
                    self.space.release(extent);
                    self.unmap_all(&blocks);
                    return Err(error);
                }
            }
            rest = extent.part(piece.len(), extent.len() - piece.len());
        }
        Ok(blocks)
    }

    /// Maps one leaf of `page`, or as many smaller ones as are needed. A row that grows in small steps prefers those if less
    /// than the whole leaf is needed; one that grows by whole blocks does not use them for the first leaf of all, because
    /// blocks of smaller leaves may find a tighter place elsewhere.
    fn map_unit(&self, reserved: Extent, page: PageSize, needed: u64, is_first: bool) -> Result<Block, Error> {
        let is_whole = !self.extends();
        let mut refusal = Error::OutOfMemory;
        for size in self.row().descriptor.granularities().skip_while(|&size| size > page) {
            if !is_whole && size == page && needed < reserved.len() {
                continue;
            }
            let len = if size == page { Some(reserved.len()) } else { size.round_up(needed) };
            let extent = reserved.part(0, len.unwrap_or(u64::MAX).min(reserved.len())).unwrap_or(reserved);
            match self.map(extent, size) {
                Ok(()) => return Ok(Block::new(extent, size, reserved)),
                Err(error) => refusal = error,
            }
            if is_first && is_whole {
                break;
            }
        }
        Err(refusal)
    }

    /// Maps what continues an incomplete block.
    pub(crate) fn map_more(&self, extension: Extent, block: &Block) -> Result<Block, Error> {
        self.map(extension, block.page)?;
        Ok(Block::new(extension, block.page, block.reserved))
    }

    /// Unmaps a block and gives its addresses back.
    ///
    /// # Errors
    ///
    /// What the backend says. The block is as before.
    pub(crate) fn unmap_block(&self, block: &Block) -> Result<(), BackendError> {
        self.unmap(block.extent)?;
        if block.owns_reservation() {
            self.space.release(block.reserved);
        }
        Ok(())
    }

    /// The same for blocks that are part of no region. Those that the backend does not unmap are never used again.
    pub(crate) fn unmap_all(&self, blocks: &[Block]) {
        for block in blocks {
            if self.unmap_block(block).is_err() {
                self.lose(block);
            }
        }
    }

    /// Counts a block that stays mapped and is never used again.
    pub(crate) fn lose(&self, block: &Block) {
        let gone = if block.owns_reservation() { block.reserved } else { block.extent };
        self.row().events.lost_bytes.add(gone.len());
    }
}
