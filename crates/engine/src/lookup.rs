//! Which allocation holds an address?

use execmem_types::{Backend, Extent, Kind};

use crate::Engine;
use crate::sync::RawMutex;

/// What was found at an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    /// The allocation.
    pub extent: Extent,
    /// The kind whose allocator it is from.
    pub kind: Kind,
}

impl<B: Backend, R: RawMutex> Engine<B, R> {
    /// The live allocation that holds an address.
    #[must_use]
    pub fn find(&self, address: u64) -> Option<Found> {
        self.pools().find_map(|pool| {
            let extent = pool.search.with(|search| search.region_of(address)?.find(address))?;
            Some(Found { extent, kind: pool.kind })
        })
    }
}
