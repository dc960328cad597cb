//! Memory that was mapped before the engine had it: a window that is one block.

use execmem_types::{Backend, Extent, Fill, KindSet, PageSize};

use super::Worker;
use crate::Error;
use crate::base::boxed::try_box;
use crate::base::handle::{Location, MAX_DONATIONS};
use crate::memory::Memory;
use crate::region::{Block, Region, Window};
use crate::space::base_alignment;
use crate::sync::Locking;

impl<M: Memory<S>, S: KindSet, L: Locking> Worker<'_, M, S, L> {
    /// Takes memory over: its bookkeeping first, which may be refused, then the memory.
    pub(crate) fn adopt(&self, extent: Extent, page: PageSize) -> Result<(), Error> {
        let row = &self.pool.row;
        let bad = Error::BadDonation { extent, limit: MAX_DONATIONS };
        if !extent.is_aligned(row.quantum.bytes()) || row.descriptor.fill != Fill::Poke {
            return Err(bad);
        }
        self.pool.change.with(|()| {
            let number = self.pool.next_donation().ok_or(bad)?;
            let first = self.pool.shard(Location::new(0, number));
            let window = try_box(Window::new(extent, row.quantum, base_alignment(&row.descriptor), true)?)?;
            let mut region = Region::new(&window[0]);
            region.add(&window[0], &[Block::new(extent, page, extent)])?;
            first.with(|shard| shard.make_place(number))?;
            let refused = |source| self.seam.refused(source);
            self.seam.backend().adopt(extent, row.descriptor.protection).map_err(refused)?;
            self.seam.fill(extent).map_err(refused)?;
            self.pool.add_donation(window);
            first.with(|shard| shard.put(number, region));
            Ok(())
        })
    }
}
