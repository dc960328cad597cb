//! A window as far as it is used, and what is live in it.

use core::ops::Range;

use execmem_range::LiveMap;
use execmem_types::{Extent, PowerOfTwo};

use crate::Error;

/// A window as far as it is used, or donated memory, and what is live in it. Shared by the shards of a pool, each of which
/// has its blocks in it, and by look-ups.
#[derive(Debug)]
pub(crate) struct Window {
    pub(crate) extent: Extent,
    /// What offsets in the live map count from.
    pub(crate) base: u64,
    pub(crate) map: LiveMap,
    /// It was mapped before the engine had it, and is never unmapped.
    pub(crate) is_donated: bool,
}

impl Window {
    /// A window in which ranges can be aligned to at most `alignment`.
    pub(crate) fn new(
        extent: Extent,
        quantum: PowerOfTwo,
        alignment: PowerOfTwo,
        is_donated: bool,
    ) -> Result<Self, Error> {
        let base = alignment.round_down(extent.start());
        let map = LiveMap::new(quantum.log2(), extent.last() - base + 1).map_err(|_| Error::OutOfMemory)?;
        Ok(Window { extent, base, map, is_donated })
    }

    /// Offsets of an extent in the live map.
    pub(crate) fn offsets(&self, extent: Extent) -> Range<u64> {
        let start = extent.start() - self.base;
        start..start + extent.len()
    }

    /// The extent of offsets in the live map.
    #[inline]
    pub(crate) fn extent_of(&self, range: &Range<u64>) -> Extent {
        let extent = Extent::new(self.base + range.start, range.end - range.start);
        let Some(extent) = extent else { panic!("I1: an empty range, {range:x?}") };
        extent
    }
}
