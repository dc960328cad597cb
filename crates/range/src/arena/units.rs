//! Positions and lengths as callers say them, and the quanta that an arena counts in.

use core::ops::Range;

use super::Arena;
use crate::Error;
use crate::ledger::MAX_QUANTA;

impl Arena {
    /// Logarithm of the quantum.
    #[inline]
    pub(super) fn quantum_log2(&self) -> u32 {
        self.holes.ledger.quantum_log2()
    }

    /// One less than an alignment in quanta.
    #[inline]
    pub(super) fn alignment_mask(&self, align: u64) -> Result<u32, Error> {
        if !align.is_power_of_two() {
            return Err(Error::BadAlignment { align });
        }
        let quanta = (align >> self.quantum_log2()).max(1);
        let mask = u32::try_from(quanta - 1).ok().filter(|&mask| mask < MAX_QUANTA);
        mask.ok_or(Error::TooLarge { value: align, limit: self.limit() })
    }

    /// The number of quanta that hold a length.
    #[inline]
    pub(super) fn quanta_for(&self, len: u64) -> Result<u32, Error> {
        if len == 0 {
            return Err(Error::ZeroLength);
        }
        let rounded = ((len - 1) >> self.quantum_log2()) + 1;
        let quanta = u32::try_from(rounded).ok().filter(|&quanta| quanta <= MAX_QUANTA);
        quanta.ok_or(Error::TooLarge { value: len, limit: self.limit() })
    }

    /// The number of the quantum that contains a position.
    #[inline]
    pub(super) fn quantum_number(&self, position: u64) -> Option<u32> {
        u32::try_from(position >> self.quantum_log2()).ok().filter(|&number| number < MAX_QUANTA)
    }

    /// A range of whole quanta.
    pub(super) fn quanta(&self, range: &Range<u64>) -> Result<Range<u32>, Error> {
        if range.start >= range.end {
            return Err(Error::ZeroLength);
        }
        if range.end > self.limit() {
            return Err(Error::TooLarge { value: range.end, limit: self.limit() });
        }
        let number = |value: u64| match value % self.quantum() {
            0 => Ok(u32::try_from(value >> self.quantum_log2()).unwrap_or(MAX_QUANTA)),
            _ => Err(Error::NotQuantized { value, quantum: self.quantum() }),
        };
        Ok(number(range.start)?..number(range.end)?)
    }

    /// Where a quantum starts.
    #[inline]
    pub(super) fn position(&self, quanta: u32) -> u64 {
        u64::from(quanta) << self.quantum_log2()
    }

    /// The positions of a range of quanta.
    #[inline]
    pub(super) fn positions(&self, quanta: Range<u32>) -> Range<u64> {
        self.position(quanta.start)..self.position(quanta.end)
    }
}
