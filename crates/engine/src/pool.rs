//! The allocator of one row of the table: its regions, its counters and its locks.
//!
//! # Invariants (I10)
//!
//! Two locks. *Search* is held for the time of a search or a few words of bookkeeping, never across a backend call (I10).
//! *Change* is held while blocks are mapped or their rights changed; whoever finds room in an existing block never
//! takes it. Order: change, then search, then the lock of the [space](crate::space).

use alloc::vec::Vec;

use execmem_types::{Descriptor, Extent, Kind, MAX_WINDOWS, PowerOfTwo, Table};

use crate::Error;
use crate::counters::{Counters, KindStats};
use crate::region::{Block, Emptied, Region, Want};
use crate::space::{base_alignment, usable};
use crate::sync::{Lock, RawMutex};

/// The allocator of one kind, and of the kinds that share its blocks.
pub(crate) struct Pool<R> {
    pub(crate) kind: Kind,
    pub(crate) descriptor: Descriptor,
    /// Smallest quantum of all kinds served.
    pub(crate) quantum: PowerOfTwo,
    pub(crate) search: Lock<R, Search>,
    pub(crate) change: Lock<R, ()>,
}

/// What a pool knows about its memory.
#[derive(Debug, Default)]
pub(crate) struct Search {
    /// Memory that somebody gave for good; used first.
    donated: Vec<Region>,
    /// One region a window, made when first used.
    windows: [Option<Region>; MAX_WINDOWS],
    pub(crate) kinds: [KindStats; Kind::COUNT],
    pub(crate) counters: Counters,
    /// Bytes of ranges that stay live although nobody holds them.
    pub(crate) quarantined_live_bytes: u64,
    /// Reservations whose memory the backend did not unmap.
    pub(crate) lost: Vec<Extent>,
}

impl<R: RawMutex> Pool<R> {
    pub(crate) fn new(table: &Table, kind: Kind) -> Self {
        Pool {
            kind,
            descriptor: *table.descriptor(kind),
            quantum: table.shared_quantum(kind),
            search: Lock::new(Search::default()),
            change: Lock::new(()),
        }
    }

    /// The windows as far as they are used, best first.
    pub(crate) fn windows(&self) -> impl Iterator<Item = Extent> + '_ {
        self.descriptor.windows().map(|window| usable(window, self.quantum, self.descriptor.placement))
    }

    /// A region for blocks in `window`, or for a donation.
    pub(crate) fn new_region(&self, window: Extent, is_donated: bool) -> Result<Region, Error> {
        Region::new(window, self.quantum, base_alignment(&self.descriptor), is_donated)
    }
}

impl Search {
    /// Carves a place out of the blocks of a window; with the first window go donated extents.
    pub(crate) fn take(&mut self, window: usize, want: &Want) -> Result<Option<Extent>, Error> {
        if window == 0 {
            for region in &mut self.donated {
                if let Some(extent) = region.alloc(want.len, want.align)? {
                    return Ok(Some(self.granted(extent, want, false)));
                }
            }
        }
        let Some(region) = &mut self.windows[window] else { return Ok(None) };
        let extent = region.alloc(want.len, want.align)?;
        Ok(extent.map(|extent| self.granted(extent, want, window > 0)))
    }

    fn granted(&mut self, extent: Extent, want: &Want, is_far: bool) -> Extent {
        let stats = &mut self.kinds[want.kind.index()];
        stats.allocations += 1;
        stats.live += 1;
        stats.bytes_requested += want.requested;
        stats.bytes_granted += extent.len();
        stats.far_allocations += u64::from(is_far);
        extent
    }

    /// Forgets an allocation in the counters.
    pub(crate) fn ungranted(&mut self, kind: Kind, granted: u64, requested: u64) {
        let stats = &mut self.kinds[kind.index()];
        stats.live -= 1;
        stats.bytes_requested -= requested;
        stats.bytes_granted -= granted;
    }

    /// The region of a window, if it was used.
    pub(crate) fn window_mut(&mut self, window: usize) -> &mut Option<Region> {
        &mut self.windows[window]
    }

    /// Adds a donated region.
    pub(crate) fn donate(&mut self, region: Region) -> Result<(), Error> {
        self.donated.try_reserve(1).map_err(|_| Error::OutOfMemory)?;
        self.donated.push(region);
        Ok(())
    }

    /// Remembers a block that the backend did not unmap.
    pub(crate) fn lose(&mut self, block: &Block) {
        self.counters.quarantined_bytes += block.extent.len();
        if block.owns_reservation() && self.lost.try_reserve(1).is_ok() {
            self.lost.push(block.reserved);
        }
    }

    /// Whether any donated byte lies in an extent.
    pub(crate) fn is_donated(&self, extent: Extent) -> bool {
        self.donated.iter().any(|region| region.window.overlaps(extent))
    }

    /// All regions, donated ones first.
    pub(crate) fn regions(&self) -> impl Iterator<Item = &Region> {
        self.donated.iter().chain(self.windows.iter().flatten())
    }

    pub(crate) fn regions_mut(&mut self) -> impl Iterator<Item = &mut Region> {
        self.donated.iter_mut().chain(self.windows.iter_mut().flatten())
    }

    /// The region with a block at an address.
    pub(crate) fn region_of(&mut self, address: u64) -> Option<&mut Region> {
        self.regions_mut().find(|region| region.has(address))
    }

    /// Frees a range. `None` if none starts there.
    pub(crate) fn free(&mut self, start: u64) -> Option<Emptied> {
        self.region_of(start)?.free(start)
    }
}
