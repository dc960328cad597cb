//! Finding a place: the tightest by size, or the lowest or highest in a window.
//!
//! For searches by address the coordinates are cut into stretches of 256 quanta, and [`Peaks`](super::peaks::Peaks)
//! holds for each an *upper bound* of the longest hole that starts in it. Bounds are raised when a hole grows and
//! lowered only here, when a search finds that nothing in a stretch is as long as promised: allocation by size pays
//! one comparison, and each stretch that disappoints a search was first raised by some other operation.

use core::ops::Range;

use super::Holes;
use super::bins::{Place, fit};
use super::peaks::Toward;

const STRETCH_LOG2: u32 = 8;

/// The stretch of a position.
pub(super) const fn stretch_of(position: u32) -> usize {
    (position >> STRETCH_LOG2) as usize
}

/// The positions of a stretch.
fn positions(stretch: usize) -> Range<u32> {
    let start = u32::try_from(stretch << STRETCH_LOG2).unwrap_or(u32::MAX);
    start..start.saturating_add(1 << STRETCH_LOG2)
}

impl Holes {
    /// The place that fits most tightly.
    pub(crate) fn tightest(&self, n: u32, mask: u32) -> Option<Place> {
        if self.count() == 0 {
            return None;
        }
        if mask == 0 { self.bins.tightest(&self.nodes, n) } else { self.bins.tightest_aligned(&self.nodes, n, mask) }
    }

    /// The lowest place inside `within`.
    pub(crate) fn lowest(&mut self, n: u32, mask: u32, within: &Range<u32>) -> Option<Place> {
        let low = |hole: Range<u32>| fit(hole.start, hole.end - hole.start, n, mask);
        if let Some(place) = self.place_before(within, low) {
            return Some(place);
        }
        let mut stretch = stretch_of(within.start);
        while let Some(found) = self.longest.next_at_least(stretch, n, Toward::Higher) {
            if positions(found).start >= within.end {
                break;
            }
            let place = self.holes_in(found).find_map(|hole| self.place_in(hole, within, low));
            if place.is_some() {
                return place;
            }
            self.refresh(found);
            stretch = found + 1;
        }
        None
    }

    /// The highest place inside `within`.
    pub(crate) fn highest(&mut self, n: u32, mask: u32, within: &Range<u32>) -> Option<Place> {
        let high = |hole: Range<u32>| hole.end.checked_sub(n).map(|at| at & !mask).filter(|&at| at >= hole.start);
        let first = stretch_of(within.start);
        let mut stretch = stretch_of(within.end - 1);
        while let Some(found) = self.longest.next_at_least(stretch, n, Toward::Lower) {
            if found < first {
                break;
            }
            let place = self.holes_in(found).filter_map(|hole| self.place_in(hole, within, high)).last();
            if place.is_some() {
                return place;
            }
            self.refresh(found);
            let Some(next) = found.checked_sub(1) else { break };
            stretch = next;
        }
        self.place_before(within, high)
    }

    /// The place of a range, if it is part of one hole.
    pub(crate) fn place_at(&self, range: &Range<u32>) -> Option<Place> {
        let hole = self.hole_at(self.start_of(range.start)?)?;
        (range.end <= self.nodes[hole].end()).then_some(Place { hole, start: range.start })
    }

    /// The place in the hole that starts before `within`, if one reaches into it.
    fn place_before(&self, within: &Range<u32>, at: impl Fn(Range<u32>) -> Option<u32>) -> Option<Place> {
        let start = self.start_of(within.start.checked_sub(1)?)?;
        self.place_in(start, within, at)
    }

    /// The place in the hole that starts at `start`, as far as it lies inside `within`.
    fn place_in(&self, start: u32, within: &Range<u32>, at: impl Fn(Range<u32>) -> Option<u32>) -> Option<Place> {
        let hole = self.hole_at(start)?;
        let clipped = start.max(within.start)..self.nodes[hole].end().min(within.end);
        let start = if clipped.is_empty() { None } else { at(clipped) }?;
        Some(Place { hole, start })
    }

    /// Where the holes of a stretch start, in order.
    fn holes_in(&self, stretch: usize) -> impl Iterator<Item = u32> + '_ {
        let Range { start, end } = positions(stretch);
        let next = move |at| self.next_boundary(at).filter(|&boundary| boundary < end);
        let boundaries = core::iter::successors(next(start), move |&at| next(at + 1));
        boundaries.filter(|&boundary| self.hole_at(boundary).is_some())
    }

    /// Sets the bound of a stretch to the length of its longest hole.
    fn refresh(&mut self, stretch: usize) {
        let lengths = self.holes_in(stretch).filter_map(|start| self.hole_at(start)).map(|id| self.nodes[id].len);
        let longest = lengths.max().unwrap_or(0);
        self.longest.set(stretch, longest);
    }
}
