//! Stretches of address space.

use core::fmt;
use core::num::NonZeroU64;

/// A non-empty half-open stretch of addresses, `start..start + len`. It may end at 2⁶⁴.
///
/// Linux writes the end of such a stretch inclusively in some places and exclusively in others; here it is always
/// the first address outside.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Extent {
    start: u64,
    len: NonZeroU64,
}

impl Extent {
    /// `len` bytes from `start`, unless that is empty or reaches beyond 2⁶⁴.
    #[must_use]
    pub const fn new(start: u64, len: u64) -> Option<Self> {
        match NonZeroU64::new(len) {
            Some(len) if len.get() - 1 <= u64::MAX - start => Some(Extent { start, len }),
            _ => None,
        }
    }

    /// The addresses from `start` up to, but not including, `end`, which may be 2⁶⁴.
    #[must_use]
    pub const fn between(start: u64, end: u128) -> Option<Self> {
        if end <= start as u128 || end > 1 << 64 {
            return None;
        }
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the one length that does not fit, 2⁶⁴, is refused by new()"
        )]
        let len = (end - start as u128) as u64;
        Extent::new(start, len)
    }

    /// First address.
    #[must_use]
    pub const fn start(self) -> u64 {
        self.start
    }

    /// Length in bytes.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "an extent is never empty")]
    pub const fn len(self) -> u64 {
        self.len.get()
    }

    /// Last address.
    #[must_use]
    pub const fn last(self) -> u64 {
        self.start + (self.len() - 1)
    }

    /// First address outside, which may be 2⁶⁴.
    #[must_use]
    pub const fn end(self) -> u128 {
        self.start as u128 + self.len() as u128
    }

    /// Whether the address lies inside.
    #[must_use]
    pub const fn contains(self, address: u64) -> bool {
        address >= self.start && address - self.start < self.len()
    }

    /// Whether all of `other` lies inside.
    #[must_use]
    pub const fn covers(self, other: Extent) -> bool {
        self.contains(other.start) && self.contains(other.last())
    }

    /// Whether any address lies in both.
    #[must_use]
    pub const fn overlaps(self, other: Extent) -> bool {
        self.start <= other.last() && other.start <= self.last()
    }

    /// The addresses in both.
    #[must_use]
    pub const fn intersection(self, other: Extent) -> Option<Extent> {
        let start = if self.start > other.start { self.start } else { other.start };
        let end = if self.end() < other.end() { self.end() } else { other.end() };
        Extent::between(start, end)
    }

    /// `len` bytes at `offset` inside, if they lie inside.
    #[must_use]
    pub const fn part(self, offset: u64, len: u64) -> Option<Extent> {
        if offset >= self.len() || len > self.len() - offset {
            return None;
        }
        Extent::new(self.start + offset, len)
    }

    /// Whether start and length are multiples of a power of two.
    #[must_use]
    pub const fn is_aligned(self, align: u64) -> bool {
        (self.start | self.len()) & (align - 1) == 0
    }
}

impl fmt::Display for Extent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}..{:#x}", self.start, self.end())
    }
}

impl fmt::Debug for Extent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extents_may_end_at_the_top_of_the_address_space() {
        let top = Extent::between(u64::MAX - 0xfff, 1 << 64).expect("a page");
        assert_eq!((top.len(), top.last(), top.end()), (0x1000, u64::MAX, 1 << 64));
        assert!(top.contains(u64::MAX) && !top.contains(0));
        let low = Extent::between(0xffff_0000, 1 << 32).expect("64K");
        assert_eq!(low.end(), 0x1_0000_0000);
    }

    #[test]
    fn empty_and_overlong_extents_do_not_exist() {
        assert_eq!(Extent::new(0x1000, 0), None);
        assert_eq!(Extent::new(u64::MAX, 2), None);
        assert_eq!(Extent::between(0x2000, 0x1000), None);
        assert_eq!(Extent::between(0, 1 << 64), None);
    }

    #[test]
    fn parts_stay_inside() {
        let whole = Extent::new(0x1000, 0x100).expect("extent");
        assert_eq!(whole.part(0xf0, 0x10).map(Extent::last), Some(0x10ff));
        assert_eq!(whole.part(0xf0, 0x11), None);
        assert_eq!(whole.part(0x100, 0), None);
        assert!(whole.covers(whole) && whole.overlaps(whole));
        assert_eq!(whole.intersection(Extent::new(0x10ff, 9).expect("extent")), Extent::new(0x10ff, 1));
    }
}
