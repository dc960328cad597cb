//! The direct map: every frame mapped once more, in leaves as large as rights allow.
//!
//! Rights of a mapping reach the alias here as in Linux: read-only and read-write do, no-execute does not. A leaf whose
//! parts differ is split; whether and how it becomes whole again is the [`Merge`] rule.
//!
//! # Invariants (I11)
//!
//! Leaves tile the memory exactly, and splits less merges is the number of tables they need beyond the first map's.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use execmem_types::{Machine, PageSize};

use crate::buddy::Frame;
use crate::tables::{TableWriter, Tables, Walked};

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

/// The map.
#[derive(Debug)]
pub(crate) struct DirectMap {
    /// Sizes of leaves in frames, smallest first, up to that of the map at boot.
    sizes: Vec<u64>,
    page: PageSize,
    frames: u64,
    tables: TableWriter,
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
        let sizes: Vec<_> =
            machine.leaves().filter(|size| *size <= largest).map(|size| size.bytes() / page.bytes()).collect();
        let tables = TableWriter::new(sizes.clone(), frames);
        DirectMap { sizes, page, frames, tables, merge, pinned: BTreeSet::new(), counters: BTreeMap::new() }
    }

    /// The tables, for walks beside changes.
    pub(crate) fn tables(&self) -> &Arc<Tables> {
        self.tables.tables()
    }

    /// Changes the rights of frames, splitting what lies only partly in them.
    pub(crate) fn set(&mut self, first: Frame, count: u64, alias: Alias) -> DirectChange {
        let mut change = DirectChange::default();
        let mut frame = first;
        while frame < (first + count).min(self.frames) {
            let leaf = self.find(frame);
            let end = leaf.first + leaf.frames;
            if leaf.alias == alias {
                frame = end;
            } else if leaf.level > 0 && (leaf.first < first || end > first + count) {
                self.split(leaf);
                change.splits += 1;
            } else {
                self.put(leaf, alias);
                change.leaves += 1;
                frame = end;
            }
        }
        if alias == Alias::ReadWrite && change.leaves > 0 {
            self.merge_after(first, count, &mut change);
        }
        change
    }

    /// The leaf that maps a frame.
    fn find(&self, frame: Frame) -> Walked {
        match self.tables().walk(frame) {
            Some(leaf) => leaf,
            None => panic!("I11: frame {frame:#x} has no leaf in the direct map"),
        }
    }

    /// Rights and size of the leaf of a frame; `None` beyond memory.
    pub(crate) fn leaf_of(&self, frame: Frame) -> Option<(Frame, PageSize, Alias)> {
        let leaf = self.tables().walk(frame)?;
        Some((leaf.first, PageSize::from_bytes(leaf.frames * self.page.bytes())?, leaf.alias))
    }

    /// Changes a leaf, and keeps the counter of its table.
    fn put(&mut self, leaf: Walked, alias: Alias) {
        self.tables.set(leaf.first, alias);
        let Some(&table) = self.sizes.get(leaf.level + 1) else { return };
        if let Some(counter) = self.counters.get_mut(&(leaf.level + 1, leaf.first / table * table)) {
            let (was, is) = (leaf.alias == Alias::ReadWrite, alias == Alias::ReadWrite);
            *counter = counter.saturating_add(u64::from(is)).saturating_sub(u64::from(was));
        }
    }

    fn split(&mut self, leaf: Walked) {
        let entries = leaf.frames / self.sizes[leaf.level - 1];
        self.tables.split(leaf.first);
        let writable = if leaf.alias == Alias::ReadWrite { entries } else { 0 };
        self.counters.insert((leaf.level, leaf.first), writable);
        if leaf.alias == Alias::ReadWrite {
            self.recount(leaf.level + 1, leaf.first, -1);
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
        let agrees = (0..table / small).all(|index| self.is_whole(level - 1, start + index * small));
        if !agrees || self.pinned.range(start..start + table).next().is_some() {
            change.drifts += u64::from(!agrees && self.merge == Merge::Count);
            return;
        }
        self.tables.merge(level - 1, start);
        self.counters.remove(&(level, start));
        self.recount(level + 1, start, 1);
        change.merges += 1;
    }

    /// Whether a frame is mapped by a writable leaf of a level.
    fn is_whole(&self, level: usize, frame: Frame) -> bool {
        let leaf = self.tables().walk(frame);
        leaf.is_some_and(|leaf| (leaf.level, leaf.alias) == (level, Alias::ReadWrite))
    }

    /// Splits down to the smallest leaf around a frame and keeps it so.
    pub(crate) fn pin(&mut self, frame: Frame) -> u64 {
        let mut splits = 0;
        while let leaf @ Walked { level: 1.., .. } = self.find(frame) {
            self.split(leaf);
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
        self.tables.set(frame, alias);
    }

    /// Tables whose counter of writable entries is wrong.
    pub(crate) fn drifted(&self) -> u64 {
        let is_wrong = |(&(level, start), &counter): (&(usize, Frame), &u64)| {
            let frames =
                (start..start + self.sizes[level]).step_by(usize::try_from(self.sizes[level - 1]).unwrap_or(1));
            frames.filter(|frame| self.is_whole(level - 1, *frame)).count() as u64 != counter
        };
        self.counters.iter().filter(|entry| is_wrong(*entry)).count() as u64
    }

    /// Number of leaves by size.
    pub(crate) fn count(&self) -> BTreeMap<PageSize, u64> {
        let by_level = self.sizes.iter().zip(self.tables.counts()).filter(|(_, count)| **count > 0);
        by_level.filter_map(|(size, count)| Some((PageSize::from_bytes(size * self.page.bytes())?, *count))).collect()
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
