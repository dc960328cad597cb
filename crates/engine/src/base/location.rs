//! Where in a pool an allocation is. Part of every handle, so that freeing searches nothing.

use execmem_types::MAX_WINDOWS;

/// Most donations that a pool can have.
pub(crate) const MAX_DONATIONS: usize = (1 << WINDOW_BITS) - MAX_WINDOWS;

const SHARD_BITS: u8 = 4;
const WINDOW_BITS: u8 = 3;
const FAR: u8 = 1 << (SHARD_BITS + WINDOW_BITS);

/// Most shards of a pool.
pub(crate) const MAX_SHARDS: usize = 1 << SHARD_BITS;

/// Shard and window, and whether branches from there do not reach the anchor. The windows of the row come first, donated
/// memory behind them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Location(u8);

impl Location {
    /// A shard of a pool, and one of its windows.
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "both fit their bits, as pools are made")]
    pub(crate) const fn new(shard: usize, window: usize) -> Self {
        Location(shard as u8 & ((1 << SHARD_BITS) - 1) | (window as u8 & ((1 << WINDOW_BITS) - 1)) << SHARD_BITS)
    }

    /// The same, too far for direct branches or not.
    #[inline]
    pub(crate) const fn far(self, is_far: bool) -> Self {
        Location(if is_far { self.0 | FAR } else { self.0 & !FAR })
    }

    /// Whether it is too far for direct branches.
    #[inline]
    pub(crate) const fn is_far(self) -> bool {
        self.0 & FAR != 0
    }

    /// Number of the shard.
    #[inline]
    pub(crate) const fn shard(self) -> usize {
        (self.0 & ((1 << SHARD_BITS) - 1)) as usize
    }

    /// Number of the window.
    #[inline]
    pub(crate) const fn window(self) -> usize {
        (self.0 >> SHARD_BITS & ((1 << WINDOW_BITS) - 1)) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_location_tells_what_it_is_made_of() {
        for (shard, window, is_far) in
            [(0, 0, false), (7, 2, true), (MAX_SHARDS - 1, MAX_WINDOWS + MAX_DONATIONS - 1, true)]
        {
            let location = Location::new(shard, window).far(is_far);
            assert_eq!((location.shard(), location.window(), location.is_far()), (shard, window, is_far));
            assert_eq!(location.far(false), Location::new(shard, window));
        }
    }
}
