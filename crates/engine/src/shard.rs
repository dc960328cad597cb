//! A share of a pool's memory behind a lock of its own: blocks, the ranges in them, and what was counted.

use alloc::vec::Vec;

use execmem_types::{Extent, Kind};

use crate::Error;
use crate::block::Block;
use crate::counters::KindStats;
use crate::handle::Grant;
use crate::region::{Region, Want, Window};

/// Where in a pool an allocation is. Part of every handle, so that freeing searches nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Site {
    pub(crate) shard: u8,
    pub(crate) window: u8,
}

/// A place, if there is one, and where in the pool it is.
pub(crate) type Placed = Option<(Extent, Site)>;

/// In place of a window: memory that was donated, which is the first shard's.
const DONATED: u8 = u8::MAX;

impl Site {
    pub(crate) const DONATED: Self = Site { shard: 0, window: DONATED };

    #[expect(clippy::cast_possible_truncation, reason = "there are at most 8 shards and 3 windows")]
    pub(crate) const fn new(shard: usize, window: usize) -> Self {
        Site { shard: shard as u8, window: window as u8 }
    }

    /// Whether it is in the first window.
    pub(crate) const fn is_first_window(self) -> bool {
        self.window == 0
    }
}

/// What a shard knows about its memory.
#[derive(Debug)]
pub(crate) struct Shard {
    home: Kind,
    /// One region a window, made when first used: most shards are never used, and a region is large.
    windows: Vec<Option<Region>>,
    /// Memory that somebody gave for good; used first.
    donated: Vec<Region>,
    /// The lane of whoever allocated here last as from its own.
    pub(crate) last_lane: usize,
    /// By number of a kind. Made with the first region, for the same reason.
    pub(crate) kinds: Vec<KindStats>,
}

impl Shard {
    /// A shard of the pool of a kind, without memory.
    pub(crate) fn new(home: Kind) -> Self {
        let (windows, donated, kinds) = (Vec::new(), Vec::new(), Vec::new());
        Shard { home, windows, donated, last_lane: 0, kinds }
    }

    /// Carves a place out of the blocks of a window. `None` if they have none.
    #[inline]
    pub(crate) fn take(&mut self, window: usize, want: &Want) -> Result<Option<Extent>, Error> {
        let Some(Some(region)) = self.windows.get_mut(window) else { return Ok(None) };
        let extent = region.alloc(want, self.home)?;
        Ok(extent.inspect(|extent| self.granted(*extent, want, window > 0)))
    }

    /// Carves a place out of donated memory.
    pub(crate) fn take_donated(&mut self, want: &Want) -> Result<Option<Extent>, Error> {
        for region in &mut self.donated {
            if let Some(extent) = region.alloc(want, self.home)? {
                self.granted(extent, want, false);
                return Ok(Some(extent));
            }
        }
        Ok(None)
    }

    #[inline]
    fn granted(&mut self, extent: Extent, want: &Want, is_far: bool) {
        let stats = &mut self.kinds[want.kind.index()];
        stats.allocations += 1;
        stats.live += 1;
        stats.bytes_requested += want.requested;
        stats.bytes_granted += extent.len();
        stats.far_allocations += u64::from(is_far);
    }

    /// Forgets an allocation in the counters.
    #[inline]
    pub(crate) fn ungranted(&mut self, kind: Kind, granted: u64, requested: u64) {
        let stats = &mut self.kinds[kind.index()];
        stats.live -= 1;
        stats.bytes_requested -= requested;
        stats.bytes_granted -= granted;
    }

    /// Makes fresh blocks part of a window and carves a place from them in one step. On failure all is as before.
    pub(crate) fn add_and_take(
        &mut self,
        index: usize,
        window: &Window,
        blocks: &[Block],
        want: &Want,
    ) -> Result<Extent, Error> {
        self.make_counters()?;
        let missing = (index + 1).saturating_sub(self.windows.len());
        self.windows.try_reserve(missing).map_err(|_| Error::OutOfMemory)?;
        self.windows.extend((0..missing).map(|_| None));
        self.windows[index].get_or_insert_with(|| Region::new(window)).add(blocks)?;
        let taken = self.take(index, want);
        if let Ok(Some(extent)) = taken {
            return Ok(extent);
        }
        self.windows[index].iter_mut().for_each(|region| region.remove(blocks));
        match taken {
            Err(error) => Err(error),
            Ok(_) => panic!("I10: new blocks do not hold the request they were mapped for"),
        }
    }

    fn make_counters(&mut self) -> Result<(), Error> {
        self.kinds.try_reserve_exact(Kind::COUNT - self.kinds.len()).map_err(|_| Error::OutOfMemory)?;
        self.kinds.resize(Kind::COUNT, KindStats::default());
        Ok(())
    }

    /// Adds donated memory.
    pub(crate) fn donate(&mut self, region: Region) -> Result<(), Error> {
        self.make_counters()?;
        self.donated.try_reserve(1).map_err(|_| Error::OutOfMemory)?;
        self.donated.push(region);
        Ok(())
    }

    /// Forgets an allocation, and frees its range if it `is_retired`. Returns whether empty blocks may go.
    #[inline]
    pub(crate) fn free_grant(&mut self, grant: &Grant, is_retired: bool) -> bool {
        self.ungranted(grant.kind, grant.extent.len(), grant.requested);
        if !is_retired {
            return false;
        }
        let Some(may_go) = self.free(grant.site, grant.extent.start()) else {
            panic!("I1: {} has a handle and is not live", grant.extent);
        };
        may_go
    }

    /// Frees a range. Returns whether empty blocks may go, or `None` if no range starts there.
    #[inline]
    pub(crate) fn free(&mut self, site: Site, start: u64) -> Option<bool> {
        self.region_at(site, start)?.free(start)
    }

    /// The region of a site, which holds an address.
    #[inline]
    pub(crate) fn region_at(&mut self, site: Site, address: u64) -> Option<&mut Region> {
        match self.windows.get_mut(usize::from(site.window)) {
            Some(region) => region.as_mut(),
            None => self.donated.iter_mut().find(|region| region.window.extent.contains(address)),
        }
    }

    /// The region of a window, if it was used.
    pub(crate) fn window(&self, index: usize) -> Option<&Region> {
        self.windows.get(index)?.as_ref()
    }

    /// Whether it has a block in a window.
    pub(crate) fn has_blocks(&self, index: usize) -> bool {
        self.window(index).is_some_and(|region| !region.blocks().is_empty())
    }

    /// Whether it has as much free in a window as is live there, or as a block is long: it can do without, then.
    pub(crate) fn lends(&self, index: usize, block_bytes: u64) -> bool {
        let arena = self.window(index).map(Region::arena);
        arena.is_some_and(|arena| arena.free_len() >= arena.live_len().min(block_bytes))
    }

    /// All regions, donated ones first.
    pub(crate) fn regions(&self) -> impl Iterator<Item = &Region> {
        self.donated.iter().chain(self.windows.iter().flatten())
    }

    pub(crate) fn regions_mut(&mut self) -> impl Iterator<Item = &mut Region> {
        self.donated.iter_mut().chain(self.windows.iter_mut().flatten())
    }
}
