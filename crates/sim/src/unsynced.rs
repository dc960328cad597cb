//! Bytes that were written and not made known to instruction fetch.

use std::collections::BTreeMap;

use execmem_types::Extent;

/// Disjoint stretches of such bytes, by start: last.
#[derive(Debug, Default)]
pub(crate) struct Unsynced {
    stretches: BTreeMap<u64, u64>,
}

impl Unsynced {
    /// Bytes were written.
    pub(crate) fn add(&mut self, extent: Extent) {
        self.forget(extent);
        self.stretches.insert(extent.start(), extent.last());
    }

    /// Instruction fetch was told, or the bytes are gone.
    pub(crate) fn forget(&mut self, extent: Extent) {
        let reaching = self.stretches.range(..=extent.last()).rev();
        let touched: Vec<_> =
            reaching.take_while(|(_, last)| **last >= extent.start()).map(|(&s, &l)| (s, l)).collect();
        for (start, last) in touched {
            self.stretches.remove(&start);
            if start < extent.start() {
                self.stretches.insert(start, extent.start() - 1);
            }
            if last > extent.last() {
                self.stretches.insert(extent.last() + 1, last);
            }
        }
    }

    /// The first such byte in an extent.
    pub(crate) fn first_in(&self, extent: Extent) -> Option<u64> {
        let (&start, &last) = self.stretches.range(..=extent.last()).next_back()?;
        let found = (last >= extent.start()).then_some(start.max(extent.start()))?;
        let earlier = self.stretches.range(..start).rev().take_while(|(_, last)| **last >= extent.start()).last();
        Some(earlier.map_or(found, |(&start, _)| start.max(extent.start())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn extent(start: u64, len: u64) -> Extent {
        Extent::new(start, len).expect("extent")
    }

    #[test]
    fn stretches_are_cut_where_fetch_was_told() {
        let mut unsynced = Unsynced::default();
        unsynced.add(extent(10, 10));
        unsynced.forget(extent(13, 2));
        assert_eq!(unsynced.first_in(extent(0, 100)), Some(10));
        assert_eq!(unsynced.first_in(extent(13, 2)), None);
        assert_eq!(unsynced.first_in(extent(14, 9)), Some(15));
        unsynced.add(extent(12, 4));
        assert_eq!(unsynced.first_in(extent(13, 1)), Some(13));
        unsynced.forget(extent(0, 100));
        assert_eq!(unsynced.first_in(extent(0, 100)), None);
    }
}
