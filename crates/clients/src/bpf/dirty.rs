//! Addresses where a program stood since predictors were last flushed.

use alloc::vec::Vec;

use execmem::Extent;

use crate::Error;
use crate::growth::try_reserve;

/// A set of addresses: disjoint runs that do not touch, by start. It only grows when it is told to: where there was no heap
/// for a run, all addresses count as dirty until the next flush.
#[derive(Debug, Default)]
pub(super) struct Dirty {
    /// First address, and the last.
    runs: Vec<(u64, u64)>,
    is_everything: bool,
}

impl Dirty {
    /// Makes room for as many programs as there are, each of which adds one run at most: none of them needs heap to go.
    pub(super) fn reserve(&mut self, programs: u64) -> Result<(), Error> {
        try_reserve(&mut self.runs, usize::try_from(programs).unwrap_or(usize::MAX))
    }

    /// Adds a run. Takes no heap.
    pub(super) fn add(&mut self, extent: Extent) {
        // Runs that reach it, or begin in it or right behind it, become part of it.
        let (before, behind) = (extent.start().saturating_sub(1), extent.last().saturating_add(1));
        let from = self.runs.partition_point(|(_, last)| *last < before);
        let to = self.runs.partition_point(|(start, _)| *start <= behind);
        let touching = self.runs.get(from..to).unwrap_or_default();
        let start = touching.first().map_or(extent.start(), |(start, _)| extent.start().min(*start));
        let last = touching.last().map_or(extent.last(), |(_, last)| extent.last().max(*last));
        if touching.is_empty() && self.runs.len() == self.runs.capacity() {
            self.is_everything = true;
        } else if touching.is_empty() {
            self.runs.insert(from, (start, last));
        } else {
            self.runs[from] = (start, last);
            self.runs.drain(from + 1..to);
        }
    }

    pub(super) fn overlaps(&self, extent: Extent) -> bool {
        let behind = self.runs.partition_point(|(start, _)| *start <= extent.last());
        self.is_everything || behind.checked_sub(1).is_some_and(|index| self.runs[index].1 >= extent.start())
    }

    pub(super) fn clear(&mut self) {
        self.runs.clear();
        self.is_everything = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn extent(start: u64, len: u64) -> Extent {
        Extent::new(start, len).expect("an extent")
    }

    #[test]
    fn a_run_without_room_makes_everything_dirty_until_the_next_flush() {
        let mut dirty = Dirty::default();
        dirty.add(extent(64, 64));
        assert!(dirty.overlaps(extent(1 << 40, 1)));
        dirty.clear();
        assert!(!dirty.overlaps(extent(64, 64)));
        dirty.reserve(1).expect("memory");
        dirty.add(extent(64, 64));
        assert!(dirty.overlaps(extent(127, 1)) && !dirty.overlaps(extent(128, 1)));
    }

    #[test]
    fn runs_agree_with_a_set_of_addresses() {
        let (mut dirty, mut naive) = (Dirty::default(), [false; 256]);
        dirty.reserve(256).expect("memory");
        let mut state = 7_u64;
        for _ in 0..20_000 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let (start, len) = (state >> 33 & 0x7f, (state >> 48 & 0xf) + 1);
            let range = usize::try_from(start).expect("small")..usize::try_from(start + len).expect("small");
            if state >> 60 == 0 {
                dirty.clear();
                naive = [false; 256];
            } else if state >> 60 < 4 {
                dirty.add(extent(start, len));
                naive[range].fill(true);
            } else {
                assert_eq!(dirty.overlaps(extent(start, len)), naive[range].contains(&true));
            }
            let count = naive.windows(2).filter(|pair| !pair[0] && pair[1]).count() + usize::from(naive[0]);
            assert_eq!(dirty.runs.len(), count, "runs do not touch");
        }
    }
}
