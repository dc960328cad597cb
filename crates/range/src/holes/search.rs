//! Finding a place: the tightest by size, or the lowest or highest in a window.
//!
//! For searches by address [`Peaks`] holds, for each [bucket](super::starts), an *upper bound* of the longest hole that
//! starts in it. Bounds are raised when a hole grows and
//! lowered only here, when a search finds that nothing in a bucket is as long as promised: allocation by size pays
//! one comparison, and each bucket that disappoints a search was first raised by some other operation.

use core::ops::Range;

use super::Holes;
use super::bins::{Bins, Place, fit};
use super::nodes::Id;
use super::peaks::{Peaks, Toward};
use super::starts::{BUCKET_LOG2, bucket_of};
use crate::Error;

/// The positions of a bucket.
fn positions(bucket: usize) -> Range<u32> {
    let start = u32::try_from(bucket << BUCKET_LOG2).unwrap_or(u32::MAX);
    start..start.saturating_add(1 << BUCKET_LOG2)
}

impl Holes {
    /// The place that fits most tightly, outside what is avoided if possible.
    #[inline]
    pub(crate) fn tightest(&self, n: u32, mask: u32) -> Option<Place> {
        let [main, avoided] = &self.bins;
        let find = |bins: &Bins| match mask {
            0 => bins.tightest(&self.nodes, n),
            _ => bins.tightest_aligned(&self.nodes, n, mask),
        };
        find(main).or_else(|| find(avoided))
    }

    /// Length of the hole that fits most tightly.
    pub(crate) fn tightest_len(&self, n: u32) -> Option<u32> {
        self.tightest(n, 0).map(|place| self.nodes[place.hole].len)
    }

    /// Prepares for searches by address. The first time, looks at every hole.
    pub(crate) fn prepare_search(&mut self) -> Result<(), Error> {
        if self.longest.is_some() {
            return Ok(());
        }
        let mut longest = Peaks::default();
        for record in self.starts.iter(&self.nodes).map(|id| &self.nodes[id]) {
            longest.reserve(bucket_of(record.start))?;
            longest.raise(bucket_of(record.start), record.len);
        }
        self.longest = Some(longest);
        Ok(())
    }

    /// The lowest place inside `within`.
    pub(crate) fn lowest(&mut self, n: u32, mask: u32, within: &Range<u32>) -> Option<Place> {
        let low = |hole: Range<u32>| fit(hole.start, hole.end - hole.start, n, mask);
        if let Some(place) = self.place_before(within, low) {
            return Some(place);
        }
        let mut bucket = bucket_of(within.start);
        while let Some(found) = self.next_promising(bucket, n, Toward::Higher) {
            if positions(found).start >= within.end {
                break;
            }
            let place = self.holes_in(found).find_map(|hole| self.place_in(hole, within, low));
            if place.is_some() {
                return place;
            }
            self.refresh(found);
            bucket = found + 1;
        }
        None
    }

    /// The highest place inside `within`.
    pub(crate) fn highest(&mut self, n: u32, mask: u32, within: &Range<u32>) -> Option<Place> {
        let high = |hole: Range<u32>| hole.end.checked_sub(n).map(|at| at & !mask).filter(|&at| at >= hole.start);
        let first = bucket_of(within.start);
        let mut bucket = bucket_of(within.end - 1);
        while let Some(found) = self.next_promising(bucket, n, Toward::Lower) {
            if found < first {
                break;
            }
            let place = self.holes_in(found).filter_map(|hole| self.place_in(hole, within, high)).last();
            if place.is_some() {
                return place;
            }
            self.refresh(found);
            let Some(next) = found.checked_sub(1) else { break };
            bucket = next;
        }
        self.place_before(within, high)
    }

    /// The place of a range, if it is part of one hole.
    pub(crate) fn place_at(&self, range: &Range<u32>) -> Option<Place> {
        let hole = self.id_holding(range.start)?;
        (range.end <= self.nodes[hole].end()).then_some(Place { hole, start: range.start })
    }

    /// The hole a position is part of.
    fn id_holding(&self, position: u32) -> Option<Id> {
        let id = self.starts.find(&self.nodes, self.ledger.last_other_start(position)?)?;
        (position < self.nodes[id].end()).then_some(id)
    }

    /// The place in the hole that starts before `within`, if one reaches into it.
    fn place_before(&self, within: &Range<u32>, at: impl Fn(Range<u32>) -> Option<u32>) -> Option<Place> {
        self.place_in(self.id_holding(within.start.checked_sub(1)?)?, within, at)
    }

    /// The place in a hole as far as it lies inside `within`.
    fn place_in(&self, hole: Id, within: &Range<u32>, at: impl Fn(Range<u32>) -> Option<u32>) -> Option<Place> {
        let record = &self.nodes[hole];
        let clipped = record.start.max(within.start)..record.end().min(within.end);
        let start = if clipped.is_empty() { None } else { at(clipped) }?;
        Some(Place { hole, start })
    }

    /// The next bucket that may have a hole of `n` quanta.
    fn next_promising(&self, bucket: usize, n: u32, toward: Toward) -> Option<usize> {
        self.longest.as_ref()?.next_at_least(bucket, n, toward)
    }

    /// The holes that start in a bucket, in order.
    fn holes_in(&self, bucket: usize) -> impl Iterator<Item = Id> + '_ {
        let Range { start, end } = positions(bucket);
        let next = move |at| self.ledger.next_start(at).filter(|&start| start < end);
        let starts = core::iter::successors(next(start), move |&at| next(at + 1));
        starts.filter_map(|start| self.id_at(start))
    }

    /// Sets the bound of a bucket to the length of its longest hole.
    fn refresh(&mut self, bucket: usize) {
        let longest = self.holes_in(bucket).map(|id| self.nodes[id].len).max().unwrap_or(0);
        if let Some(bounds) = &mut self.longest {
            bounds.set(bucket, longest);
        }
    }
}
