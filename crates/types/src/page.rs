//! Sizes of pages and of blocks mapped as one.

use core::fmt;

/// A power of two that something is a multiple of: a page size, a granularity, an alignment or a quantum.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PowerOfTwo {
    log2: u8,
}

/// The size of a leaf entry of the page tables, or of a run of entries the hardware treats as one (contiguous-PTE
/// blocks of arm64, Svnapot of riscv, 512K of powerpc 8xx).
pub type PageSize = PowerOfTwo;

impl PowerOfTwo {
    /// `1 << log2` bytes.
    ///
    /// # Panics
    ///
    /// If that does not fit 64 bits; in a `const` that is a compile error.
    #[must_use]
    pub const fn from_log2(log2: u8) -> Self {
        assert!(log2 < 64, "a power of two must fit 64 bits");
        PowerOfTwo { log2 }
    }

    /// This many bytes, if it is a power of two.
    #[must_use]
    pub const fn from_bytes(bytes: u64) -> Option<Self> {
        if !bytes.is_power_of_two() {
            return None;
        }
        #[expect(clippy::cast_possible_truncation, reason = "a logarithm of a 64-bit number is below 64")]
        let log2 = bytes.trailing_zeros() as u8;
        Some(PowerOfTwo { log2 })
    }

    /// `n` KiB.
    #[must_use]
    pub const fn kib(n: u64) -> Self {
        match Self::from_bytes(n << 10) {
            Some(size) => size,
            None => panic!("not a power of two"),
        }
    }

    /// `n` MiB.
    #[must_use]
    pub const fn mib(n: u64) -> Self {
        Self::kib(n << 10)
    }

    /// In bytes.
    #[must_use]
    pub const fn bytes(self) -> u64 {
        1 << self.log2
    }

    /// Base-two logarithm of the bytes.
    #[must_use]
    pub const fn log2(self) -> u32 {
        self.log2 as u32
    }

    /// The smallest multiple that is `len` or more, if it fits 64 bits.
    #[must_use]
    pub const fn round_up(self, len: u64) -> Option<u64> {
        len.checked_next_multiple_of(self.bytes())
    }

    /// The largest multiple that is `len` or less.
    #[must_use]
    pub const fn round_down(self, len: u64) -> u64 {
        len & !(self.bytes() - 1)
    }

    /// `2^log2` times as much.
    ///
    /// # Panics
    ///
    /// If that does not fit 64 bits; in a `const` that is a compile error.
    #[must_use]
    pub const fn times_two_to(self, log2: u8) -> Self {
        Self::from_log2(self.log2 + log2)
    }

    /// The larger of two.
    #[must_use]
    pub const fn max(self, other: Self) -> Self {
        if self.log2 > other.log2 { self } else { other }
    }

    /// The smaller of two.
    #[must_use]
    pub const fn min(self, other: Self) -> Self {
        if self.log2 < other.log2 { self } else { other }
    }
}

impl fmt::Display for PowerOfTwo {
    /// `64`, `4K`, `2M`, `1G`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = ["", "K", "M", "G", "T", "P", "E"];
        let unit = units[usize::from(self.log2 / 10)];
        write!(f, "{}{unit}", 1_u64 << (self.log2 % 10))
    }
}

impl fmt::Debug for PowerOfTwo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    extern crate alloc;
    use alloc::string::ToString;

    use super::*;

    #[test]
    fn sizes_print_as_people_write_them() {
        let written = [4, 12, 16, 19, 21, 30].map(|log2| PowerOfTwo::from_log2(log2).to_string());
        assert_eq!(written, ["16", "4K", "64K", "512K", "2M", "1G"]);
    }

    #[test]
    fn rounding_refuses_what_does_not_fit() {
        let page = PageSize::kib(4);
        assert_eq!(page.round_up(1), Some(4096));
        assert_eq!(page.round_up(u64::MAX), None);
        assert_eq!(page.round_down(8191), 4096);
        assert_eq!(PowerOfTwo::from_bytes(48), None);
    }
}
