//! Addresses where a program stood since predictors were last flushed.

use alloc::collections::BTreeMap;

use execmem::Extent;

/// A set of addresses: disjoint runs that do not touch, by start.
#[derive(Debug, Default)]
pub(super) struct Dirty {
    /// First address, and the last.
    runs: BTreeMap<u64, u64>,
}

impl Dirty {
    pub(super) fn add(&mut self, extent: Extent) {
        let (mut start, mut last) = (extent.start(), extent.last());
        // The run before it may reach it; runs that begin in it, or right behind it, become part of it.
        if let Some((&before, &end)) =
            self.runs.range(..=start).next_back().filter(|(_, end)| **end >= start.saturating_sub(1))
        {
            (start, last) = (before, last.max(end));
        }
        while let Some((&next, &end)) = self.runs.range(start..=last.saturating_add(1)).next_back() {
            self.runs.remove(&next);
            last = last.max(end);
        }
        self.runs.insert(start, last);
    }

    pub(super) fn overlaps(&self, extent: Extent) -> bool {
        self.runs.range(..=extent.last()).next_back().is_some_and(|(_, last)| *last >= extent.start())
    }

    pub(super) fn clear(&mut self) {
        self.runs.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn extent(start: u64, len: u64) -> Extent {
        Extent::new(start, len).expect("an extent")
    }

    #[test]
    fn runs_agree_with_a_set_of_addresses() {
        let (mut dirty, mut naive) = (Dirty::default(), [false; 256]);
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
