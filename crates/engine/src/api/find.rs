//! Look-ups by address, without a lock.
//!
//! Of 145 instructions, 93 come after the page of the live map is known: the word, the extent, kind and owner. Slots that point
//! at pages, and not at windows, would save 24 of the others, and take 32 KiB for each engine.

use execmem_types::{Extent, KindSet};

use super::Engine;
use crate::base::request::{Owner, parts_of};
use crate::region::Window;
use crate::space::Slot;
use crate::sync::Locking;

/// A live allocation, found by address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found<S: KindSet = execmem_types::Kind> {
    /// Its bytes.
    pub extent: Extent,
    /// What it is for.
    pub kind: S,
    /// What it was allocated for.
    pub owner: Owner,
}

impl<M, S: KindSet, L: Locking> Engine<M, S, L> {
    /// The live allocation that holds an address. Takes no lock and never waits.
    ///
    /// An allocation that is live all the time is found; one that comes or goes meanwhile may be. Addresses that were
    /// never the engine's are not found.
    #[must_use]
    #[inline]
    pub fn find(&self, address: u64) -> Option<Found<S>> {
        match self.space.slot_of(address) {
            Slot::Window { pool, window } => {
                find_in(self.pools.get(usize::from(pool))?.windows().get(usize::from(window))?, address)
            }
            Slot::Empty => None,
            Slot::Several => self.find_in_any(address),
            Slot::Outside => self.find_donated(address),
        }
    }

    /// The same where blocks of several windows lie close together: asks each window.
    #[cold]
    fn find_in_any(&self, address: u64) -> Option<Found<S>> {
        let holds = |window: &&Window| window.extent.contains(address);
        let mut windows = self.pools.iter().flat_map(|pool| pool.windows()).filter(holds);
        windows.find_map(|window| find_in(window, address))
    }

    #[cold]
    fn find_donated(&self, address: u64) -> Option<Found<S>> {
        self.pools.iter().find_map(|pool| pool.donated().find_map(|(_, window)| find_in(window, address)))
    }
}

#[inline]
fn find_in<S: KindSet>(window: &Window, address: u64) -> Option<Found<S>> {
    let execmem_range::Found { range, tag } = window.map.find(address.checked_sub(window.base)?)?;
    let (kind, owner) = parts_of(tag);
    let kind = S::from_number(kind)?;
    Some(Found { extent: Extent::new(window.base + range.start, range.end - range.start)?, kind, owner })
}
