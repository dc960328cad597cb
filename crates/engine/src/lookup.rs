//! Which allocation holds an address? Answered without a lock.
//!
//! The [homes](crate::homes) of a zone tell for which window the block there was reserved, the ledger of that window
//! which allocation. Both may be read at any time, so this works in an exception handler, an unwinder or a profiler,
//! whatever the interrupted code was doing.

use core::ops::Range;

use execmem_types::{Backend, Extent, Kind, MAX_WINDOWS};

use crate::Engine;
use crate::homes::Home;
use crate::owner::{Owner, parts_of};
use crate::pool::Pool;
use crate::region::Window;
use crate::space::ZoneView;
use crate::sync::Locking;

/// What was found at an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    /// The allocation.
    pub extent: Extent,
    /// The kind that was asked for.
    pub kind: Kind,
    /// Whose it is.
    pub owner: Owner,
}

impl<B: Backend, L: Locking> Engine<B, L> {
    /// The live allocation that holds an address. Takes no lock and never waits.
    ///
    /// An allocation that is live all the time is found; one that comes or goes meanwhile may be. Addresses that were
    /// never the engine's are not found.
    #[must_use]
    #[inline]
    pub fn find(&self, address: u64) -> Option<Found> {
        let Some(zone) = self.zones.iter().find(|zone| zone.extent.contains(address)) else {
            return self.find_donated(address);
        };
        let offset = address - zone.base;
        let tag = match zone.homes.at(offset) {
            Home::Nobody => return None,
            Home::Window(tag) => tag,
            Home::Several => reserved_by(zone, offset)?,
        };
        let (pool, window) = self.window_of_tag(tag)?;
        find_in(pool, window, address)
    }

    #[cold]
    fn find_donated(&self, address: u64) -> Option<Found> {
        self.pools.iter().find_map(|pool| pool.donations.iter().find_map(|window| find_in(pool, window, address)))
    }

    /// The window for which reservations with a tag are made, and its pool.
    #[inline]
    fn window_of_tag(&self, tag: u32) -> Option<(&Pool<L>, &Window)> {
        let pool = self.pools.get(((tag >> WINDOW_BITS) as usize).checked_sub(1)?)?;
        Some((pool, pool.windows.get((tag & WINDOW_MASK) as usize)?))
    }
}

/// Bits of a [tag](reservation_tag) that say which window of the pool is meant.
const WINDOW_BITS: u32 = 2;
const WINDOW_MASK: u32 = (1 << WINDOW_BITS) - 1;
const _: () = assert!(MAX_WINDOWS <= 1 << WINDOW_BITS && (Kind::COUNT + 1) << WINDOW_BITS <= 255, "homes have bytes");

/// The tag of the reservations for a window of a pool in the ledger of a zone. Never 0, and less than 255.
#[expect(clippy::cast_possible_truncation, reason = "there are 3 windows")]
pub(crate) const fn reservation_tag(pool: u8, window: usize) -> u32 {
    (pool as u32 + 1) << WINDOW_BITS | window as u32
}

/// The tag of the reservation at an offset. By itself, so that the usual way has one look into a ledger, in line.
#[inline(never)]
fn reserved_by(zone: &ZoneView, offset: u64) -> Option<u32> {
    Some(zone.ledger.find(offset)?.tag)
}

#[inline]
fn find_in<L: Locking>(pool: &Pool<L>, window: &Window, address: u64) -> Option<Found> {
    let offset = address.checked_sub(window.base)?;
    let execmem_range::Found { range: Range { start, end }, tag } = window.ledger.find(offset)?;
    let (kind, owner) = parts_of(tag, pool.kind);
    Some(Found { extent: window.extent_of(&(start..end)), kind, owner })
}
