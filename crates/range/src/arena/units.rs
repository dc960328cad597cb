//! Positions and lengths as callers say them, and the quanta that an arena counts in.

use core::ops::Range;

use super::Arena;
use crate::Error;
use crate::live_map::MAX_QUANTA;

impl Arena {
    /// The smallest length, and what every position is a multiple of.
    #[must_use]
    #[inline]
    pub fn quantum(&self) -> u64 {
        1 << self.quantum_log2()
    }

    /// First position that cannot be addressed.
    #[must_use]
    pub fn limit(&self) -> u64 {
        self.position(self.limit)
    }

    #[inline]
    pub(super) fn quantum_log2(&self) -> u32 {
        self.quantum_log2
    }

    /// One less than an alignment in quanta.
    #[inline]
    pub(super) fn alignment_mask(&self, align: u64) -> Result<u32, Error> {
        // Zero wraps around, and is looked at.
        if align.wrapping_sub(1) < self.quantum() { Ok(0) } else { self.large_alignment_mask(align) }
    }

    fn large_alignment_mask(&self, align: u64) -> Result<u32, Error> {
        if !align.is_power_of_two() {
            return Err(Error::BadAlignment(align));
        }
        let mask = u32::try_from((align >> self.quantum_log2()) - 1).ok().filter(|&mask| mask < MAX_QUANTA);
        mask.ok_or(Error::TooLarge(align))
    }

    /// The number of quanta that hold a length.
    #[inline]
    pub(super) fn quanta_for(&self, len: u64) -> Result<u32, Error> {
        match u32::try_from(len.wrapping_sub(1) >> self.quantum_log2()) {
            Ok(last) if last < MAX_QUANTA => Ok(last + 1),
            _ => Err(if len == 0 { Error::ZeroLength } else { Error::TooLarge(len) }),
        }
    }

    /// The number of the quantum that holds a position.
    pub(super) fn quantum_holding(&self, position: u64) -> Option<u32> {
        u32::try_from(position >> self.quantum_log2()).ok().filter(|&number| number < MAX_QUANTA)
    }

    /// The number of the quantum that begins at a position.
    #[inline]
    pub(super) fn quantum_at(&self, position: u64) -> Option<u32> {
        let number = u32::try_from(position >> self.quantum_log2()).ok()?;
        (self.position(number) == position).then_some(number)
    }

    /// A range of whole quanta.
    pub(super) fn quanta(&self, range: &Range<u64>) -> Result<Range<u32>, Error> {
        if range.start >= range.end {
            return Err(Error::ZeroLength);
        }
        if range.end > self.limit() {
            return Err(Error::TooLarge(range.end));
        }
        let number = |value: u64| self.quantum_at(value).ok_or(Error::NotQuantized(value));
        Ok(number(range.start)?..number(range.end)?)
    }

    /// Where a quantum starts.
    #[inline]
    pub(super) fn position(&self, quanta: u32) -> u64 {
        u64::from(quanta) << self.quantum_log2()
    }

    /// The positions of a range of quanta.
    pub(super) fn positions(&self, quanta: Range<u32>) -> Range<u64> {
        self.position(quanta.start)..self.position(quanta.end)
    }
}
