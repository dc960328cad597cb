//! Which allocation holds an address? Answered without a lock.
//!
//! The [homes](crate::homes) of a zone tell whose block is there, the ledger of that pool which allocation. Both may be
//! read at any time, so this works in an exception handler, an unwinder or a profiler, whatever the interrupted code was
//! doing.

use core::ops::Range;

use execmem_types::{Backend, Extent, Kind};

use crate::Engine;
use crate::homes::Home;
use crate::owner::{Owner, parts_of};
use crate::pool::Pool;
use crate::region::Window;
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
        match self.zones.iter().find(|zone| zone.extent.contains(address)) {
            Some(zone) => {
                let offset = address - zone.base;
                let pool = match zone.homes.at(offset) {
                    Home::Nobody => return None,
                    Home::Pool(home) => self.pools[home.index()].as_ref()?,
                    Home::Several => self.pool_of_tag(zone.ledger.find(offset)?.tag)?,
                };
                pool.windows.iter().find_map(|window| find_in(pool, window, address))
            }
            None => self.find_donated(address),
        }
    }

    #[cold]
    fn find_donated(&self, address: u64) -> Option<Found> {
        self.pools().find_map(|pool| pool.donations.iter().find_map(|window| find_in(pool, window, address)))
    }

    /// The pool that tags its reservations so.
    fn pool_of_tag(&self, tag: u32) -> Option<&Pool<L>> {
        self.pools.get((tag as usize).checked_sub(1)?)?.as_ref()
    }
}

/// The tag of the reservations of a pool in the ledger of a zone.
#[expect(clippy::cast_possible_truncation, reason = "there are 10 kinds")]
pub(crate) const fn reservation_tag(home: Kind) -> u32 {
    home.index() as u32 + 1
}

#[inline]
fn find_in<L: Locking>(pool: &Pool<L>, window: &Window, address: u64) -> Option<Found> {
    let offset = address.checked_sub(window.base)?;
    let execmem_range::Found { range: Range { start, end }, tag } = window.ledger.find(offset)?;
    let (kind, owner) = parts_of(tag, pool.kind);
    Some(Found { extent: window.extent_of(&(start..end)), kind, owner })
}
