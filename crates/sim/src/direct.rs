//! The direct map: every frame mapped once more, in leaves as large as rights allow.
//!
//! Rights of a mapping reach the alias here as in Linux: read-only and read-write do, no-execute does not. A leaf whose
//! parts differ is split; whether and how it becomes whole again is the [`Merge`] rule.
//!
//! # Invariants (I11)
//!
//! Leaves tile the memory exactly, and splits less merges is the number of tables they need beyond the first map's.

use std::collections::{BTreeMap, BTreeSet};

use execmem_types::{Machine, PageSize};

use crate::buddy::Frame;

/// What the direct map allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Alias {
    /// Loads and stores: what the map has at boot.
    ReadWrite,
    /// Loads.
    ReadOnly,
    /// Nothing.
    Absent,
}

/// How leaves that agree again become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Merge {
    /// They do not: Linux up to 7.2.
    Never,
    /// A counter of equal entries in each table; merges when it says all. A write behind its back makes it wrong, which is
    /// noticed and never believed.
    Count,
    /// All entries of the table are looked at when one becomes writable again.
    Scan,
    /// The same, but only when a whole table's worth of frames comes back at once.
    Explicit,
}

/// What a change did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct DirectChange {
    pub(crate) leaves: u64,
    pub(crate) splits: u64,
    pub(crate) merges: u64,
    /// Tables whose counter was wrong.
    pub(crate) drifts: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Leaf {
    /// Index in `sizes`.
    level: usize,
    alias: Alias,
}

/// The leaves by first frame.
#[derive(Debug)]
pub(crate) struct DirectMap {
    /// Sizes of leaves in frames, smallest first, up to that of the map at boot.
    sizes: Vec<u64>,
    page: PageSize,
    frames: u64,
    leaves: BTreeMap<Frame, Leaf>,
    merge: Merge,
    /// Frames whose entries must stay small.
    pinned: BTreeSet<Frame>,
    /// Entries that are writable, by table: level and first frame of what it maps.
    counters: BTreeMap<(usize, Frame), u64>,
}

impl DirectMap {
    /// `frames` frames in leaves of `largest` as far as they go, and smaller ones for the rest.
    pub(crate) fn new(machine: &Machine, frames: u64, largest: PageSize, merge: Merge) -> Self {
        let page = machine.page();
        let sizes = machine.leaves().filter(|size| *size <= largest).map(|size| size.bytes() / page.bytes()).collect();
        let mut map = DirectMap {
            sizes,
            page,
            frames,
            leaves: BTreeMap::new(),
            merge,
            pinned: BTreeSet::new(),
            counters: BTreeMap::new(),
        };
        let mut frame = 0;
        while frame < frames {
            let fits = |size: u64| frame.is_multiple_of(size) && frame + size <= frames;
            let level = map.sizes.iter().rposition(|&size| fits(size)).unwrap_or(0);
            map.leaves.insert(frame, Leaf { level, alias: Alias::ReadWrite });
            frame += map.sizes[level];
        }
        map
    }

    /// Changes the rights of frames, splitting what lies only partly in them.
    pub(crate) fn set(&mut self, first: Frame, count: u64, alias: Alias) -> DirectChange {
        let mut change = DirectChange::default();
        let mut frame = first;
        while frame < (first + count).min(self.frames) {
            let (start, leaf) = self.find(frame);
            let size = self.sizes[leaf.level];
            if leaf.alias == alias {
                frame = start + size;
            } else if leaf.level > 0 && (start < first || start + size > first + count) {
                self.split(start, leaf);
                change.splits += 1;
            } else {
                self.put(start, Leaf { alias, ..leaf });
                change.leaves += 1;
                frame = start + size;
            }
        }
        if alias == Alias::ReadWrite && change.leaves > 0 {
            self.merge_after(first, count, &mut change);
        }
        change
    }

    /// The leaf that maps a frame, and its first frame.
    fn find(&self, frame: Frame) -> (Frame, Leaf) {
        match self.leaves.range(..=frame).next_back() {
            Some((&start, &leaf)) => (start, leaf),
            None => panic!("I11: frame {frame:#x} has no leaf in the direct map"),
        }
    }

    /// Rights and size of the leaf of a frame; `None` beyond memory.
    pub(crate) fn leaf_of(&self, frame: Frame) -> Option<(Frame, PageSize, Alias)> {
        let (start, leaf) = (frame < self.frames).then(|| self.find(frame))?;
        let bytes = self.sizes[leaf.level] * self.page.bytes();
        Some((start, PageSize::from_bytes(bytes)?, leaf.alias))
    }

    /// Replaces a leaf by one of the same size, and keeps the counter of its table.
    fn put(&mut self, start: Frame, leaf: Leaf) {
        let old = self.leaves.insert(start, leaf);
        let Some(&table) = self.sizes.get(leaf.level + 1) else { return };
        if let Some(counter) = self.counters.get_mut(&(leaf.level + 1, start / table * table)) {
            let was = old.is_some_and(|old| old.alias == Alias::ReadWrite);
            let is = leaf.alias == Alias::ReadWrite;
            *counter = counter.saturating_add(u64::from(is)).saturating_sub(u64::from(was));
        }
    }

    fn split(&mut self, start: Frame, leaf: Leaf) {
        let (large, small) = (self.sizes[leaf.level], self.sizes[leaf.level - 1]);
        let below = Leaf { level: leaf.level - 1, ..leaf };
        for index in 0..large / small {
            self.leaves.insert(start + index * small, below);
        }
        let writable = if leaf.alias == Alias::ReadWrite { large / small } else { 0 };
        self.counters.insert((leaf.level, start), writable);
        if leaf.alias == Alias::ReadWrite {
            self.recount(leaf.level + 1, start, -1);
        }
    }

    /// A table below the table of `level` became or stopped being a leaf.
    fn recount(&mut self, level: usize, frame: Frame, by: i64) {
        let Some(&table) = self.sizes.get(level) else { return };
        if let Some(counter) = self.counters.get_mut(&(level, frame / table * table)) {
            *counter = counter.saturating_add_signed(by);
        }
    }

    fn merge_after(&mut self, first: Frame, count: u64, change: &mut DirectChange) {
        for level in 1..self.sizes.len() {
            let table = self.sizes[level];
            let is_due = match self.merge {
                Merge::Never => false,
                Merge::Count | Merge::Scan => true,
                // Tables above the first are looked at because one below them just became a leaf.
                Merge::Explicit => count >= self.sizes[1],
            };
            let mut start = first / table * table;
            while is_due && start < first + count {
                self.try_merge(level, start, change);
                start += table;
            }
        }
    }

    fn try_merge(&mut self, level: usize, start: Frame, change: &mut DirectChange) {
        let (table, small) = (self.sizes[level], self.sizes[level - 1]);
        let Some(&counter) = self.counters.get(&(level, start)) else { return };
        if self.merge == Merge::Count && counter != table / small {
            return;
        }
        let whole = Leaf { level: level - 1, alias: Alias::ReadWrite };
        let agrees = (0..table / small).all(|index| self.leaves.get(&(start + index * small)) == Some(&whole));
        if !agrees || self.pinned.range(start..start + table).next().is_some() {
            change.drifts += u64::from(!agrees && self.merge == Merge::Count);
            return;
        }
        for index in 1..table / small {
            self.leaves.remove(&(start + index * small));
        }
        self.leaves.insert(start, Leaf { level, alias: Alias::ReadWrite });
        self.counters.remove(&(level, start));
        self.recount(level + 1, start, 1);
        change.merges += 1;
    }

    /// Splits down to the smallest leaf around a frame and keeps it so.
    pub(crate) fn pin(&mut self, frame: Frame) -> u64 {
        let mut splits = 0;
        while let (start, leaf @ Leaf { level: 1.., .. }) = self.find(frame) {
            self.split(start, leaf);
            splits += 1;
        }
        self.pinned.insert(frame);
        splits
    }

    /// Lets a frame be part of large leaves again.
    pub(crate) fn unpin(&mut self, frame: Frame) {
        self.pinned.remove(&frame);
    }

    /// Changes the entry of a frame without the tracker's knowledge, as code that writes page tables by itself does.
    pub(crate) fn write_behind(&mut self, frame: Frame, alias: Alias) {
        let (start, leaf) = self.find(frame);
        self.leaves.insert(start, Leaf { alias, ..leaf });
    }

    /// Tables whose counter of writable entries is wrong.
    pub(crate) fn drifted(&self) -> u64 {
        let is_wrong = |(&(level, start), &counter): (&(usize, Frame), &u64)| {
            let whole = Leaf { level: level - 1, alias: Alias::ReadWrite };
            let entries = self.leaves.range(start..start + self.sizes[level]);
            entries.filter(|(_, leaf)| **leaf == whole).count() as u64 != counter
        };
        self.counters.iter().filter(|entry| is_wrong(*entry)).count() as u64
    }

    /// Number of leaves by size.
    pub(crate) fn count(&self) -> BTreeMap<PageSize, u64> {
        let mut counts = BTreeMap::new();
        for leaf in self.leaves.values() {
            if let Some(size) = PageSize::from_bytes(self.sizes[leaf.level] * self.page.bytes()) {
                *counts.entry(size).or_insert(0) += 1;
            }
        }
        counts
    }
}

#[cfg(test)]
mod tests {
    use execmem_arch_x86::TABLE;

    use super::*;

    const UNIT: u64 = 512;

    fn map(merge: Merge) -> DirectMap {
        DirectMap::new(TABLE.machine(), 3 * UNIT * UNIT, PageSize::mib(1024), merge)
    }

    fn counts(map: &DirectMap) -> [u64; 3] {
        let counts = map.count();
        [PageSize::kib(4), PageSize::mib(2), PageSize::mib(1024)].map(|size| counts.get(&size).copied().unwrap_or(0))
    }

    #[test]
    fn a_page_splits_every_leaf_above_it() {
        let mut map = map(Merge::Never);
        assert_eq!(counts(&map), [0, 0, 3]);
        let change = map.set(5, 1, Alias::ReadOnly);
        assert_eq!((change.splits, change.leaves, counts(&map)), (2, 1, [512, 511, 2]));
        assert_eq!(map.set(UNIT, UNIT, Alias::ReadOnly).splits, 0, "a whole leaf changes as one");
        map.set(0, 2 * UNIT, Alias::ReadWrite);
        assert_eq!(counts(&map), [512, 511, 2], "nothing merges");
        assert_eq!(map.leaf_of(UNIT).map(|(start, size, _)| (start, size)), Some((UNIT, PageSize::mib(2))));
    }

    #[test]
    fn inv_11_every_way_of_merging_gives_the_first_map_back() {
        for merge in [Merge::Count, Merge::Scan, Merge::Explicit] {
            let mut map = map(merge);
            let (mut splits, mut merges) = (0, 0);
            for (first, count) in [(7, 1), (UNIT, UNIT), (3 * UNIT + 9, 700), (UNIT * UNIT - 1, 2)] {
                splits += map.set(first, count, Alias::ReadOnly).splits;
            }
            for first in (0..UNIT * UNIT * 2).step_by(512) {
                merges += map.set(first, UNIT, Alias::ReadWrite).merges;
            }
            assert_eq!((counts(&map), splits), ([0, 0, 3], merges), "{merge:?}");
            assert_eq!(map.drifted(), 0);
        }
    }

    #[test]
    fn explicit_merging_waits_for_a_whole_unit() {
        let mut map = map(Merge::Explicit);
        map.set(7, 1, Alias::ReadOnly);
        assert_eq!(map.set(7, 1, Alias::ReadWrite).merges, 0);
        map.set(UNIT, UNIT, Alias::Absent);
        map.set(0, 1, Alias::ReadOnly);
        assert_eq!(map.set(0, UNIT, Alias::ReadWrite).merges, 1);
    }

    #[test]
    fn a_pinned_entry_stays_small() {
        let mut map = map(Merge::Scan);
        assert_eq!(map.pin(9), 2);
        map.set(10, 1, Alias::ReadOnly);
        assert_eq!(map.set(10, 1, Alias::ReadWrite).merges, 0);
        map.unpin(9);
        map.set(10, 1, Alias::ReadOnly);
        assert_eq!(map.set(10, 1, Alias::ReadWrite).merges, 2);
    }

    #[test]
    fn a_counter_that_drifted_is_not_believed() {
        let mut map = map(Merge::Count);
        map.set(4, 2, Alias::ReadOnly);
        map.set(4, 1, Alias::ReadWrite);
        map.write_behind(100, Alias::ReadOnly);
        assert_eq!(map.drifted(), 1);
        let change = map.set(5, 1, Alias::ReadWrite);
        assert_eq!((change.merges, change.drifts), (0, 1), "the counter says 512, the table does not");
        map.write_behind(100, Alias::ReadWrite);
        map.set(6, 1, Alias::ReadOnly);
        assert_eq!(map.set(6, 1, Alias::ReadWrite).merges, 2);
    }
}
