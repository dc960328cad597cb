//! Memory that comes and goes otherwise: donations, and giving empty blocks back on request.

use execmem_types::{Access, Backend, Extent, Fill, Kind, PageSize};

use crate::block::Block;
use crate::region::{Region, Window};
use crate::shard::{Shard, Site};
use crate::space::base_alignment;
use crate::sync::Locking;
use crate::{Engine, Error};

impl<B: Backend, L: Locking> Engine<B, L> {
    /// Gives memory that somebody else mapped, with the rights of the kind, to the allocator of `kind`: the slack
    /// between the end of the kernel's text and the end of its large page, say. It is used before anything is mapped,
    /// and never unmapped. `page` is the size of the leaves it is mapped with.
    ///
    /// # Errors
    ///
    /// [`Error::BadDonation`] if it overlaps a window or an earlier donation, is not made of whole quanta, or the kind
    /// flips rights; [`Error::Backend`] if the backend does not know the memory; [`Error::OutOfMemory`].
    pub fn donate(&self, kind: Kind, extent: Extent, page: PageSize) -> Result<(), Error> {
        let pool = self.pool(kind);
        let fits = extent.is_aligned(pool.quantum.bytes()) && pool.descriptor.fill == Fill::Poke;
        if !fits || self.space.with(|space| space.overlaps(extent)) {
            return Err(Error::BadDonation { extent });
        }
        let refused = |source| Error::Backend { kind, source };
        pool.change.with(|()| {
            if self.pools.iter().any(|pool| pool.donations.iter().any(|window| window.extent.overlaps(extent))) {
                return Err(Error::BadDonation { extent });
            }
            self.backend.adopt(extent, pool.descriptor.protection).map_err(refused)?;
            self.backend.fill(Access::Poke, extent, self.unused_pattern(pool)).map_err(refused)?;
            let window = Window::new(extent, pool.quantum, base_alignment(&pool.descriptor), true)?;
            let mut region = Region::new(&window);
            region.add(&[Block::new(extent, page, extent)])?;
            pool.donations.push(window)?;
            pool.shard(Site::DONATED).with(|shard| shard.donate(region))
        })
    }

    /// Gives every empty block back at once, spares included. Returns the bytes given back.
    pub fn shrink(&self) -> u64 {
        let mut bytes = 0;
        for pool in &self.pools {
            for shard in pool.shards() {
                let take = |shard: &mut Shard| shard.regions_mut().find_map(Region::take_empty);
                while let Some(block) = shard.with(take) {
                    self.unmap(pool, &[block]);
                    bytes += block.extent.len();
                }
            }
        }
        bytes
    }
}
