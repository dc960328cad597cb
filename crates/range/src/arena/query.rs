//! Questions to an arena: nothing here changes it.

use core::ops::Range;

use super::Arena;
use crate::Found;

/// What a range in an arena is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Live,
    Hole,
    Ready,
}

impl Arena {
    /// The live range that contains `position`. [`Ledger::find`](crate::Ledger::find) tells its tag too, and needs no
    /// arena.
    #[must_use]
    pub fn find(&self, position: u64) -> Option<Range<u64>> {
        self.spans.containing(self.quantum_number(position)?)?;
        self.ledger().find(position).map(|Found { range, .. }| range)
    }

    /// The live ranges in order.
    pub fn live(&self) -> impl Iterator<Item = Range<u64>> + '_ {
        self.ranges_that(|state| state == State::Live)
    }

    /// The holes in order; ready ranges are none.
    pub fn holes(&self) -> impl Iterator<Item = Range<u64>> + '_ {
        self.ranges_that(|state| state == State::Hole)
    }

    /// The holes in no order, without looking at anything else.
    pub fn holes_unordered(&self) -> impl Iterator<Item = Range<u64>> + '_ {
        self.holes.iter().map(|hole| self.positions(hole))
    }

    /// Number of holes.
    #[must_use]
    pub fn hole_count(&self) -> usize {
        self.holes.count()
    }

    /// Length of the hole that fits `len` most tightly; `None` if no hole is that long.
    #[must_use]
    pub fn tightest_hole(&self, len: u64) -> Option<u64> {
        let n = self.quanta_for(len).ok()?;
        self.holes.tightest_len(n).map(|n| self.position(n))
    }

    /// The hole that ends at `position`.
    #[must_use]
    pub fn hole_before(&self, position: u64) -> Option<Range<u64>> {
        let end = self.quantum_number(position)?;
        self.holes.before(end).map(|hole| self.positions(hole))
    }

    /// What is free, in order: holes and ready ranges, each by itself.
    pub fn free_ranges(&self) -> impl Iterator<Item = Range<u64>> + '_ {
        self.ranges_that(|state| state != State::Live)
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

    fn ranges_that(&self, wanted: fn(State) -> bool) -> impl Iterator<Item = Range<u64>> + '_ {
        self.ranges().filter(move |&(_, state)| wanted(state)).map(|(range, _)| self.positions(range))
    }

    /// Every range and its state in order.
    pub(crate) fn ranges(&self) -> impl Iterator<Item = (Range<u32>, State)> + '_ {
        self.spans.iter().flat_map(move |run| {
            let next = move |at| (at < run.end).then(|| self.range_at(at));
            core::iter::successors(next(run.start), move |(range, _)| next(range.end))
        })
    }

    /// The range of any state that starts at a managed position.
    pub(crate) fn range_at(&self, start: u32) -> (Range<u32>, State) {
        if let Some((end, _)) = self.ledger().live_at(start) {
            return (start..end, State::Live);
        }
        match self.holes.at(start) {
            Some(hole) => (hole, State::Hole),
            None => (start..self.ready_end(start), State::Ready),
        }
    }

    /// Where a ready range ends: where the next range starts, or its run ends.
    fn ready_end(&self, start: u32) -> u32 {
        let run_end = self.spans.containing(start).map_or(start + 1, |run| run.end);
        self.ledger().next_start(start + 1).unwrap_or(run_end).min(run_end)
    }

    /// Number of live ranges.
    #[must_use]
    pub const fn live_count(&self) -> usize {
        self.live_count
    }

    /// Length of all live ranges together.
    #[must_use]
    pub fn live_len(&self) -> u64 {
        self.live_quanta << self.quantum_log2()
    }

    /// Length of the longest hole.
    #[must_use]
    pub fn largest_hole(&self) -> u64 {
        self.position(self.holes.longest())
    }

    /// Length of all holes and ready ranges together.
    #[must_use]
    pub fn free_len(&self) -> u64 {
        (self.holes.free() + self.holes.ready_len()) << self.quantum_log2()
    }

    /// Bytes of bookkeeping written to, and secured. Those of the [ledger](crate::Ledger::bookkeeping_bytes) are its own.
    #[must_use]
    pub fn bookkeeping_bytes(&self) -> (usize, usize) {
        let (used, reserved) = self.holes.heap_bytes();
        (used + self.spans.heap_bytes(), reserved + self.spans.heap_bytes())
    }
}
