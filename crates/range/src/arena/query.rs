//! Questions to an arena: nothing here changes it.

use core::ops::Range;

use super::Arena;
use crate::holes::State;

impl Arena {
    /// The live range that contains `position`.
    #[must_use]
    pub fn find(&self, position: u64) -> Option<Range<u64>> {
        let at = self.quantum_number(position)?;
        let start = self.holes.start_of(at)?;
        let is_live = self.holes.state_at(start) == Some(None);
        is_live.then(|| self.positions(start..self.holes.end_of(at)))
    }

    /// The live ranges in order.
    pub fn live(&self) -> impl Iterator<Item = Range<u64>> + '_ {
        self.ranges().filter(|(_, state)| state.is_none()).map(|(range, _)| self.positions(range))
    }

    /// The holes in order; ready ranges are none.
    pub fn holes(&self) -> impl Iterator<Item = Range<u64>> + '_ {
        self.ranges().filter(|(_, state)| *state == Some(State::Hole)).map(|(range, _)| self.positions(range))
    }

    /// The hole that ends at `position`.
    #[must_use]
    pub fn hole_before(&self, position: u64) -> Option<Range<u64>> {
        let end = self.quantum_number(position)?;
        let start = self.holes.start_of(end.checked_sub(1)?)?;
        let is_hole = self.holes.state_at(start) == Some(Some(State::Hole)) && self.holes.end_of(start) == end;
        is_hole.then(|| self.positions(start..end))
    }

    /// What is free, in order: holes and ready ranges, each by itself.
    pub fn free_ranges(&self) -> impl Iterator<Item = Range<u64>> + '_ {
        let free = |state| matches!(state, Some(State::Hole | State::Ready));
        self.ranges().filter(move |(_, state)| free(*state)).map(|(range, _)| self.positions(range))
    }

    /// Whether all of `range` is part of one hole.
    #[must_use]
    pub fn is_free(&self, range: Range<u64>) -> bool {
        self.quanta(&range).is_ok_and(|quanta| self.holes.place_at(&quanta).is_some())
    }

    /// The runs of managed space in order.
    pub fn spans(&self) -> impl Iterator<Item = Range<u64>> + '_ {
        self.spans.iter().map(|run| self.positions(run))
    }

    /// Every range and its state in order.
    pub(crate) fn ranges(&self) -> impl Iterator<Item = (Range<u32>, Option<State>)> + '_ {
        self.spans.iter().flat_map(move |run| {
            let next = move |at| (at < run.end).then(|| at..self.holes.end_of(at));
            let ranges = core::iter::successors(next(run.start), move |range| next(range.end));
            ranges.map(|range| (range.clone(), self.holes.state_at(range.start).flatten()))
        })
    }

    /// Number of live ranges.
    #[must_use]
    pub const fn live_count(&self) -> usize {
        self.live_count
    }

    /// Length of all live ranges together.
    #[must_use]
    pub const fn live_len(&self) -> u64 {
        self.live_quanta << self.quantum_log2
    }

    /// Length of the longest hole.
    #[must_use]
    pub fn largest_hole(&self) -> u64 {
        self.position(self.holes.longest())
    }

    /// Length of all holes and ready ranges together.
    #[must_use]
    pub const fn free_len(&self) -> u64 {
        self.holes.free() << self.quantum_log2
    }

    /// Bytes of bookkeeping written to, and secured.
    #[must_use]
    pub fn bookkeeping_bytes(&self) -> (usize, usize) {
        let (used, reserved) = self.holes.heap_bytes();
        (used + self.spans.heap_bytes(), reserved + self.spans.heap_bytes())
    }
}
