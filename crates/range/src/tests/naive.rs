//! The oracle: one byte a quantum, and the definition of each operation written out.

use alloc::{vec, vec::Vec};
use core::ops::Range;

use crate::{Fit, Request};

/// What a quantum is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Quantum {
    Unmanaged,
    Free,
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

    pub(super) fn add(&mut self, span: Range<u64>) -> bool {
        let fresh = self.all(&span, Quantum::Unmanaged);
        if fresh {
            self.set(&span, Quantum::Free);
        }
        fresh
    }

    pub(super) fn remove(&mut self, span: Range<u64>) -> bool {
        let free = self.all(&span, Quantum::Free);
        if free {
            self.set(&span, Quantum::Unmanaged);
        }
        free
    }

    pub(super) fn is_free(&self, range: &Range<u64>) -> bool {
        self.all(range, Quantum::Free)
    }

    /// Every place that would serve a request, in order.
    pub(super) fn places(&self, request: &Request) -> Vec<Range<u64>> {
        let len = request.len.next_multiple_of(self.quantum);
        let end = self.quantum * self.quanta.len() as u64;
        let within = request.within.clone().unwrap_or(0..end);
        let starts = (within.start..within.end.min(end)).step_by(usize::try_from(self.quantum).expect("small"));
        let ranges =
            starts.filter(|start| start % request.align.max(self.quantum) == 0).map(|start| start..start + len);
        ranges.filter(|range| range.end <= within.end && self.is_free(range)).collect()
    }

    /// The one place a request by address must get.
    pub(super) fn place(&self, request: &Request) -> Option<Range<u64>> {
        let mut places = self.places(request);
        match request.fit {
            Fit::Highest => places.pop(),
            Fit::Tightest | Fit::Lowest => places.into_iter().next(),
        }
    }

    pub(super) fn take(&mut self, range: &Range<u64>) {
        assert!(self.is_free(range), "{range:x?} was handed out and is not free");
        self.set(range, Quantum::LiveRest);
        let start = self.index(range.start);
        self.quanta[start] = Quantum::LiveStart;
    }

    pub(super) fn free(&mut self, range: &Range<u64>) {
        self.set(range, Quantum::Free);
    }

    pub(super) fn cut(&mut self, at: u64) {
        let at = self.index(at);
        self.quanta[at] = Quantum::LiveStart;
    }

    pub(super) fn live(&self) -> Vec<Range<u64>> {
        let mut live: Vec<Range<u64>> = Vec::new();
        for (index, quantum) in self.quanta.iter().enumerate() {
            let at = index as u64 * self.quantum;
            match quantum {
                Quantum::LiveStart => live.push(at..at + self.quantum),
                Quantum::LiveRest => live.last_mut().expect("a start before the rest").end += self.quantum,
                _ => {}
            }
        }
        live
    }

    pub(super) fn find(&self, position: u64) -> Option<Range<u64>> {
        self.live().into_iter().find(|range| range.contains(&position))
    }

    pub(super) fn free_len(&self) -> u64 {
        self.quanta.iter().filter(|&&quantum| quantum == Quantum::Free).count() as u64 * self.quantum
    }
}
