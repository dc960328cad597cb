//! The parts of the coordinates an arena manages.

use alloc::vec::Vec;
use core::ops::Range;

use crate::{Error, memory};

/// Disjoint runs of managed space in order; touching spans are one run.
#[derive(Debug, Default)]
pub(crate) struct Spans {
    runs: Vec<Range<u32>>,
}

impl Spans {
    /// Number of runs.
    pub(crate) fn count(&self) -> usize {
        self.runs.len()
    }

    /// The runs in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Range<u32>> + '_ {
        self.runs.iter().cloned()
    }

    /// Index of the first run that ends after `position`.
    fn first_ending_after(&self, position: u32) -> usize {
        self.runs.partition_point(|run| run.end <= position)
    }

    /// The run that contains `position`.
    #[inline]
    pub(crate) fn containing(&self, position: u32) -> Option<&Range<u32>> {
        let run = match &*self.runs {
            [run] => run,
            runs => runs.get(self.first_ending_after(position))?,
        };
        run.contains(&position).then_some(run)
    }

    /// Whether any managed space lies in `range`.
    pub(crate) fn overlaps(&self, range: &Range<u32>) -> bool {
        self.runs.get(self.first_ending_after(range.start)).is_some_and(|run| run.start < range.end)
    }

    /// Makes room for one more run.
    pub(crate) fn reserve(&mut self) -> Result<(), Error> {
        memory::try_reserve(&mut self.runs, 1)
    }

    /// Adds a span that overlaps no run. Room must have been [reserved](Self::reserve).
    pub(crate) fn insert(&mut self, span: &Range<u32>) {
        let at = self.first_ending_after(span.start);
        let joins_left = at > 0 && self.runs[at - 1].end == span.start;
        let joins_right = self.runs.get(at).is_some_and(|run| run.start == span.end);
        match (joins_left, joins_right) {
            (true, true) => {
                self.runs[at - 1].end = self.runs[at].end;
                self.runs.remove(at);
            }
            (true, false) => self.runs[at - 1].end = span.end,
            (false, true) => self.runs[at].start = span.start,
            (false, false) => self.runs.insert(at, span.clone()),
        }
    }

    /// Removes a span that lies in one run. Room must have been [reserved](Self::reserve).
    pub(crate) fn remove(&mut self, span: &Range<u32>) {
        let at = self.first_ending_after(span.start);
        let run = self.runs[at].clone();
        match (run.start < span.start, span.end < run.end) {
            (false, false) => {
                self.runs.remove(at);
            }
            (false, true) => self.runs[at].start = span.end,
            (true, false) => self.runs[at].end = span.start,
            (true, true) => {
                self.runs[at].end = span.start;
                self.runs.insert(at + 1, span.end..run.end);
            }
        }
    }

    /// Bytes of heap in use.
    pub(crate) fn heap_bytes(&self) -> usize {
        self.runs.capacity() * size_of::<Range<u32>>()
    }
}
