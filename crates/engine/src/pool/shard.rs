//! A share of a pool's memory behind a lock of its own: blocks, the ranges in them, and what was counted.

use alloc::vec::Vec;

use execmem_types::MAX_WINDOWS;

use crate::Error;
use crate::base::counters::KindStats;
use crate::base::handle::Allocation;
use crate::region::{Block, Freed, Region, Want, Window};

/// What a shard knows about its memory.
#[derive(Debug)]
pub(crate) struct Shard {
    /// One region a window, made when first used: most shards are never used, and a region is large.
    regions: Vec<Option<Region>>,
    /// The hint of the thread that allocated here last as from its own.
    pub(super) last_hint: usize,
    /// By number of a sharer. Made with the first region, for the same reason.
    pub(crate) kinds: Vec<KindStats>,
    sharers: usize,
}

impl Shard {
    /// A shard of a pool that so many kinds share, without memory.
    pub(super) const fn new(sharers: usize) -> Self {
        Shard { regions: Vec::new(), last_hint: 0, kinds: Vec::new(), sharers }
    }

    /// Carves a place out of the blocks of a window, and returns where it starts. `None` if they have none.
    #[inline]
    pub(super) fn take(&mut self, number: usize, window: &Window, want: &Want) -> Result<Option<u64>, Error> {
        let Some(Some(region)) = self.regions.get_mut(number) else { return Ok(None) };
        let start = region.alloc(window, want)?;
        if start.is_some() {
            let stats = &mut self.kinds[usize::from(want.sharer)];
            stats.allocations += 1;
            stats.live += 1;
            stats.bytes_requested += want.requested;
            stats.bytes_granted += want.len;
            stats.far_allocations += u64::from((1..MAX_WINDOWS).contains(&number));
        }
        Ok(start)
    }

    /// Forgets an allocation in the counters.
    #[inline]
    pub(super) fn ungranted(&mut self, sharer: u8, granted: u64, requested: u64) {
        let stats = &mut self.kinds[usize::from(sharer)];
        stats.live -= 1;
        stats.bytes_requested -= requested;
        stats.bytes_granted -= granted;
    }

    /// Counts an allocation that was cut in two.
    pub(super) fn count_split(&mut self, sharer: u8) {
        let stats = &mut self.kinds[usize::from(sharer)];
        stats.live += 1;
        stats.allocations += 1;
    }

    /// Makes fresh blocks part of a window and carves a place from them in one step. On failure all is as before.
    pub(super) fn add_and_take(
        &mut self,
        number: usize,
        window: &Window,
        blocks: &[Block],
        want: &Want,
    ) -> Result<u64, Error> {
        self.region_for(number, window)?.add(window, blocks)?;
        let taken = self.take(number, window, want);
        if let Ok(Some(start)) = taken {
            return Ok(start);
        }
        if let Some(region) = self.region_mut(number) {
            region.remove(window, blocks);
        }
        match taken {
            Err(error) => Err(error),
            Ok(_) => panic!("I10: new blocks do not hold the request they were mapped for"),
        }
    }

    /// The region of a window, made if there is none.
    fn region_for(&mut self, number: usize, window: &Window) -> Result<&mut Region, Error> {
        self.make_place(number)?;
        Ok(self.regions[number].get_or_insert_with(|| Region::new(window)))
    }

    /// Makes sure that there can be a region of a window, and counters.
    pub(super) fn make_place(&mut self, number: usize) -> Result<(), Error> {
        self.kinds.try_reserve_exact(self.sharers - self.kinds.len()).map_err(|_| Error::OutOfMemory)?;
        self.kinds.resize(self.sharers, KindStats::default());
        let missing = (number + 1).saturating_sub(self.regions.len());
        self.regions.try_reserve_exact(missing).map_err(|_| Error::OutOfMemory)?;
        self.regions.extend((0..missing).map(|_| None));
        Ok(())
    }

    /// Puts a region in its [place](Self::make_place).
    pub(super) fn put(&mut self, number: usize, region: Region) {
        self.regions[number] = Some(region);
    }

    /// Forgets an allocation, and frees its range. It is withheld unless its content is destroyed.
    #[inline]
    pub(super) fn free(&mut self, window: &Window, allocation: &Allocation, is_retired: bool) -> Freed {
        self.ungranted(allocation.sharer, allocation.len(), allocation.requested());
        let region = self.region_mut(allocation.location.window());
        let freed = match region {
            Some(region) if is_retired => region.free(window, allocation.start),
            Some(region) => region
                .free_withheld(window, allocation.start)
                .then_some(Freed { has_surplus: false, has_withheld: true }),
            None => None,
        };
        let Some(freed) = freed else { panic!("I1: {} has a handle and is not live", allocation.extent()) };
        freed
    }

    /// The region of a window, if it was used.
    pub(crate) fn region(&self, number: usize) -> Option<&Region> {
        self.regions.get(number)?.as_ref()
    }

    /// The region of a window, if it was used.
    #[inline]
    pub(super) fn region_mut(&mut self, number: usize) -> Option<&mut Region> {
        self.regions.get_mut(number)?.as_mut()
    }

    /// Whether it has a block in a window.
    pub(super) fn has_blocks(&self, number: usize) -> bool {
        self.region(number).is_some_and(|region| !region.blocks().is_empty())
    }

    /// Whether it has as much free in a window as is live there, or as a block is long: it can do without, then.
    pub(super) fn can_spare(&self, number: usize, block_bytes: u64) -> bool {
        let arena = self.region(number).map(Region::arena);
        arena.is_some_and(|arena| arena.free_len() >= arena.live_len().min(block_bytes))
    }
}
