//! The oracle: one byte a quantum, and the definition of each operation written out.

use alloc::{vec, vec::Vec};
use core::ops::Range;

use crate::State;

/// What a quantum is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Quantum {
    Unmanaged,
    Free,
    Withheld,
    LiveStart,
    LiveRest,
}

/// The space, quantum by quantum.
#[derive(Debug)]
pub(super) struct Naive {
    quantum: u64,
    quanta: Vec<Quantum>,
}

impl Naive {
    pub(super) fn new(quantum: u64) -> Self {
        Naive { quantum, quanta: vec![Quantum::Unmanaged; 2048] }
    }

    fn index(&self, position: u64) -> usize {
        usize::try_from(position / self.quantum).expect("small")
    }

    fn set(&mut self, range: &Range<u64>, to: Quantum) {
        let (start, end) = (self.index(range.start), self.index(range.end));
        self.quanta[start..end].fill(to);
    }

    fn all(&self, range: &Range<u64>, want: Quantum) -> bool {
        let (start, end) = (self.index(range.start), self.index(range.end));
        start < end && end <= self.quanta.len() && self.quanta[start..end].iter().all(|&quantum| quantum == want)
    }

    /// The hole that a position lies in.
    fn hole_at(&self, position: u64) -> Option<Range<u64>> {
        self.holes().into_iter().find(|hole| hole.contains(&position))
    }

    pub(super) fn add(&mut self, span: Range<u64>) -> bool {
        let fresh = self.all(&span, Quantum::Unmanaged);
        if fresh {
            self.set(&span, Quantum::Free);
        }
        fresh
    }

    pub(super) fn remove(&mut self, span: Range<u64>) -> bool {
        let free = self.is_free(&span);
        if free {
            self.set(&span, Quantum::Unmanaged);
        }
        free
    }

    pub(super) fn is_free(&self, range: &Range<u64>) -> bool {
        self.all(range, Quantum::Free)
    }

    /// Whether a place of `len` at a multiple of `align` is free.
    pub(super) fn has_place(&self, len: u64, align: u64) -> bool {
        let first = |hole: &Range<u64>| hole.start.next_multiple_of(align.max(self.quantum));
        self.free_holes().any(|hole| first(&hole) + len <= hole.end)
    }

    /// Length of the shortest hole that holds `len`.
    pub(super) fn tightest(&self, len: u64) -> Option<u64> {
        self.free_holes().map(|hole| hole.end - hole.start).filter(|&hole| hole >= len).min()
    }

    pub(super) fn take(&mut self, range: &Range<u64>) {
        assert!(self.is_free(range), "{range:x?} was handed out and is not free");
        self.set(range, Quantum::LiveRest);
        let start = self.index(range.start);
        self.quanta[start] = Quantum::LiveStart;
    }

    /// Frees a range and returns the length of its hole; 0 if that is withheld.
    pub(super) fn free(&mut self, range: &Range<u64>, is_withheld: bool) -> u64 {
        self.set(range, if is_withheld { Quantum::Withheld } else { Quantum::Free });
        self.free_holes().find(|hole| hole.contains(&range.start)).map_or(0, |hole| hole.end - hole.start)
    }

    /// Ends the withholding of a hole and returns the length of what it is then, if one starts at a position.
    pub(super) fn release(&mut self, at: u64) -> Option<u64> {
        let hole = self.hole_at(at).filter(|hole| hole.start == at && self.all(hole, Quantum::Withheld))?;
        self.set(&hole, Quantum::Free);
        self.hole_at(at).map(|hole| hole.end - hole.start)
    }

    pub(super) fn cut(&mut self, at: u64) {
        let at = self.index(at);
        self.quanta[at] = Quantum::LiveStart;
    }

    pub(super) fn live(&self) -> Vec<Range<u64>> {
        self.runs(|quantum| quantum == Quantum::LiveStart, |quantum| quantum == Quantum::LiveRest)
    }

    /// All holes, withheld ones included.
    pub(super) fn holes(&self) -> Vec<Range<u64>> {
        let of = |state| self.runs(move |quantum| quantum == state, move |quantum| quantum == state);
        [of(Quantum::Free), of(Quantum::Withheld)].concat()
    }

    fn free_holes(&self) -> impl Iterator<Item = Range<u64>> {
        self.holes().into_iter().filter(|hole| self.is_free(hole))
    }

    /// The maximal runs of a quantum that begins one and others that continue it.
    fn runs(&self, begins: impl Fn(Quantum) -> bool, continues: impl Fn(Quantum) -> bool) -> Vec<Range<u64>> {
        let mut ranges: Vec<Range<u64>> = Vec::new();
        for (index, quantum) in self.quanta.iter().enumerate() {
            let at = index as u64 * self.quantum;
            match ranges.last_mut().filter(|range| range.end == at && continues(*quantum)) {
                Some(range) => range.end += self.quantum,
                None if begins(*quantum) => ranges.push(at..at + self.quantum),
                None => {}
            }
        }
        ranges
    }

    pub(super) fn find(&self, position: u64) -> Option<Range<u64>> {
        self.live().into_iter().find(|range| range.contains(&position))
    }

    /// All ranges in order.
    pub(super) fn ranges(&self) -> Vec<(Range<u64>, State)> {
        let state = |hole: &Range<u64>| if self.is_free(hole) { State::Free } else { State::Withheld };
        let holes = self.holes().into_iter().map(|hole| (hole.clone(), state(&hole)));
        let mut ranges: Vec<_> = holes.chain(self.live().into_iter().map(|range| (range, State::Live))).collect();
        ranges.sort_by_key(|(range, _)| range.start);
        ranges
    }

    pub(super) fn free_len(&self) -> u64 {
        self.quanta.iter().filter(|&&quantum| quantum == Quantum::Free).count() as u64 * self.quantum
    }
}
