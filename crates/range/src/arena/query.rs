//! Questions to an arena: nothing here changes it.

use core::ops::Range;

use super::Arena;
use crate::LiveMap;
use crate::live_map::{MAX_QUANTA, Start};

/// What a range in an arena is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It was allocated.
    Live,
    /// It is a hole that serves requests.
    Free,
    /// It is a hole that serves none.
    Withheld,
}

impl Arena {
    /// Every range of the managed space in order, and its state.
    pub fn ranges<'a>(&'a self, map: &'a LiveMap) -> impl Iterator<Item = (Range<u64>, State)> + 'a {
        self.ranges_from(map, 0)
    }

    /// The same of those that start at a position or behind it.
    pub fn ranges_from<'a>(
        &'a self,
        map: &'a LiveMap,
        position: u64,
    ) -> impl Iterator<Item = (Range<u64>, State)> + 'a {
        let first = u32::try_from(position.div_ceil(self.quantum())).unwrap_or(MAX_QUANTA).min(MAX_QUANTA);
        self.ranges_in(map, first..MAX_QUANTA).map(|(range, state)| (self.positions(range), state))
    }

    /// The runs of managed space in order.
    pub fn spans<'a>(&'a self, map: &'a LiveMap) -> impl Iterator<Item = Range<u64>> + 'a {
        let mut ranges = self.ranges(map).map(|(range, _)| range).peekable();
        core::iter::from_fn(move || {
            let mut run = ranges.next()?;
            while let Some(range) = ranges.next_if(|range| range.start == run.end) {
                run.end = range.end;
            }
            Some(run)
        })
    }

    /// The holes in no order, withheld ones included, without looking at anything else.
    pub fn holes_unordered(&self) -> impl Iterator<Item = Range<u64>> + '_ {
        self.holes.iter().map(|hole| self.positions(hole.start..hole.end()))
    }

    /// The withheld holes; the one withheld last is the first.
    pub fn withheld(&self) -> impl Iterator<Item = Range<u64>> + '_ {
        self.holes.withheld().map(|hole| self.positions(hole.start..hole.end()))
    }

    /// Whether there are withheld holes.
    #[must_use]
    #[inline]
    pub fn withholds(&self) -> bool {
        self.holes.withholds()
    }

    /// The hole that a position lies in, unless it is withheld.
    #[must_use]
    pub fn hole_at(&self, map: &LiveMap, position: u64) -> Option<Range<u64>> {
        let hole = self.holes.record(self.holes.holding(self.part(map), self.quantum_holding(position)?)?);
        (!hole.is_withheld()).then(|| self.positions(hole.start..hole.end()))
    }

    /// Length of the hole that fits `len` most tightly; `None` if no hole is that long.
    #[must_use]
    pub fn tightest_hole(&self, len: u64) -> Option<u64> {
        let (id, _) = self.holes.tightest(self.quanta_for(len).ok()?, 0)?;
        Some(self.position(self.holes.record(id).len()))
    }

    /// Length of the longest hole that serves requests.
    #[must_use]
    pub fn largest_hole(&self) -> u64 {
        self.position(self.holes.longest())
    }

    /// Number of holes, withheld ones included.
    #[must_use]
    pub const fn hole_count(&self) -> usize {
        self.holes.count()
    }

    /// Length of all live ranges together.
    #[must_use]
    pub fn live_len(&self) -> u64 {
        self.live_quanta << self.quantum_log2()
    }

    /// Length of all holes that serve requests together. Looks at the withheld ones.
    #[must_use]
    pub fn free_len(&self) -> u64 {
        let withheld: u64 = self.withheld().map(|hole| hole.end - hole.start).sum();
        ((self.managed_quanta - self.live_quanta) << self.quantum_log2()) - withheld
    }

    /// Bytes of bookkeeping, those for later frees included. Those of the
    /// [live map](crate::LiveMap::bookkeeping_bytes) are its own.
    #[must_use]
    pub fn bookkeeping_bytes(&self) -> usize {
        self.holes.heap_bytes()
    }

    /// Every range that starts in some quanta, and its state, in order.
    pub(super) fn ranges_in<'a>(
        &'a self,
        map: &'a LiveMap,
        quanta: Range<u32>,
    ) -> impl Iterator<Item = (Range<u32>, State)> + 'a {
        self.part(map).starts_in(quanta).filter_map(|start| self.range_at(&start))
    }

    /// The range of any state with a start; `None` if that marks an end.
    pub(super) fn range_at(&self, start: &Start<'_>) -> Option<(Range<u32>, State)> {
        if let Some((len, _)) = start.live() {
            return Some((start.at..start.at + len, State::Live));
        }
        let hole = self.holes.record(self.holes.starting_at(start.page, start.at)?);
        let state = if hole.is_withheld() { State::Withheld } else { State::Free };
        Some((hole.start..hole.end(), state))
    }
}
