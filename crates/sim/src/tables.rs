//! Page tables of the direct map that are walked while they change.
//!
//! Tables lie in slots and are named by index; a freed one is used again for other addresses. A large leaf takes the place
//! of a table in one store, and the table is freed a grace period later.
//!
//! # Invariants (I12)
//!
//! A walk reads no table that was freed, and so finds a leaf that was there at some time during the walk.

use std::sync::{Arc, OnceLock};

use crate::direct::Alias;
use crate::entry::Entry;
use crate::grace::Grace;
use crate::sync::{AtomicU64, Ordering, yield_now};

/// Slots beyond what all tables together can take, for those that wait to be freed.
const SPARE_SLOTS: usize = 8;

/// Where a table belongs that is free.
const NOWHERE: u64 = u64::MAX;

/// Tables as walkers see them.
#[derive(Debug)]
pub struct Tables {
    /// Frames that a leaf of each level maps, smallest first.
    sizes: Vec<u64>,
    root: Vec<AtomicU64>,
    slots: Vec<OnceLock<Table>>,
    grace: Grace,
}

#[derive(Debug)]
struct Table {
    /// Level and first frame of what it maps.
    home: AtomicU64,
    entries: Vec<AtomicU64>,
}

/// Where a walk ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Walked {
    /// First frame of the leaf.
    pub first: u64,
    /// Frames that the leaf maps.
    pub frames: u64,
    /// What it allows.
    pub alias: Alias,
    pub(crate) level: usize,
}

impl Tables {
    /// Walks to the leaf of a frame, whatever changes meanwhile. `None` beyond memory.
    ///
    /// # Panics
    ///
    /// If it reads a freed table (I12).
    #[must_use]
    pub fn walk(&self, frame: u64) -> Option<Walked> {
        let _walk = self.grace.enter();
        let mut level = self.sizes.len() - 1;
        let mut entry = Entry::load(self.root.get(index(frame / self.sizes[level]))?);
        loop {
            let slot = match entry {
                Entry::Nothing => return None,
                Entry::Leaf(alias) => {
                    let frames = self.sizes[level];
                    return Some(Walked { first: frame / frames * frames, frames, alias, level });
                }
                Entry::Table(slot) => slot,
            };
            let table = self.table(slot);
            entry = Entry::load(&table.entries[index(frame % self.sizes[level] / self.sizes[level - 1])]);
            let home = table.home.load(Ordering::Acquire);
            assert_eq!(home, self.home(level, frame), "I12: a walk to frame {frame:#x} reads a freed table");
            level -= 1;
        }
    }

    /// What a table that maps a frame at a level says of itself.
    fn home(&self, level: usize, frame: u64) -> u64 {
        (frame / self.sizes[level] * self.sizes[level]) << 3 | level as u64
    }

    fn table(&self, slot: usize) -> &Table {
        match self.slots[slot].get() {
            Some(table) => table,
            None => panic!("I12: slot {slot} never had a table"),
        }
    }
}

/// Changes tables. There is one for each [`Tables`].
#[derive(Debug)]
pub struct TableWriter {
    tables: Arc<Tables>,
    /// Slots of free tables, the last freed one last.
    free: Vec<usize>,
    /// Slots of tables that are unlinked, by the phase in which they were.
    waiting: [Vec<usize>; 2],
    /// Leaves by level.
    counts: Vec<u64>,
}

impl TableWriter {
    /// Maps `frames` frames in the largest leaves that fit; `sizes` are those of leaves in frames, smallest first, each
    /// a multiple of the one before.
    #[must_use]
    pub fn new(sizes: Vec<u64>, frames: u64) -> Self {
        let top = sizes.len() - 1;
        let tables = sizes[1..].iter().map(|size| frames.div_ceil(*size)).sum();
        let slots = index(tables) + SPARE_SLOTS;
        let root = (0..frames.div_ceil(sizes[top])).map(|_| Entry::Nothing.word()).collect();
        let slots: Vec<_> = (0..slots).map(|_| OnceLock::new()).collect();
        let free = (0..slots.len()).rev().collect();
        let counts = vec![0; sizes.len()];
        let tables = Arc::new(Tables { sizes, root, slots, grace: Grace::new() });
        let mut writer = TableWriter { tables, free, waiting: [Vec::new(), Vec::new()], counts };
        for unit in 0..writer.tables.root.len() {
            let entry = writer.fill(top, unit as u64 * writer.tables.sizes[top], frames);
            entry.store(&writer.tables.root[unit]);
        }
        writer
    }

    /// The entry for a unit of which only frames below `end` are there.
    fn fill(&mut self, level: usize, start: u64, end: u64) -> Entry {
        if start + self.tables.sizes[level] <= end {
            self.counts[level] += 1;
            return Entry::Leaf(Alias::ReadWrite);
        }
        if start >= end || level == 0 {
            return Entry::Nothing;
        }
        let below = self.tables.sizes[level - 1];
        let count = self.tables.sizes[level] / below;
        let entries: Vec<_> = (0..count).map(|entry| self.fill(level - 1, start + entry * below, end)).collect();
        Entry::Table(self.make(level, start, |entry| entries[entry]))
    }

    /// What walkers use.
    #[must_use]
    pub fn tables(&self) -> &Arc<Tables> {
        &self.tables
    }

    /// Leaves by level.
    #[must_use]
    pub fn counts(&self) -> &[u64] {
        &self.counts
    }

    /// Changes what the leaf of a frame allows.
    pub fn set(&mut self, frame: u64, alias: Alias) {
        if let Some(leaf) = self.tables.walk(frame) {
            Entry::Leaf(alias).store(self.entry(leaf.level, frame));
        }
    }

    /// Makes the leaf of a frame a table of leaves that allow the same. The smallest stays what it is.
    pub fn split(&mut self, frame: u64) {
        let Some(leaf) = self.tables.walk(frame).filter(|leaf| leaf.level > 0) else { return };
        let slot = self.make(leaf.level, leaf.first, |_| Entry::Leaf(leaf.alias));
        Entry::Table(slot).store(self.entry(leaf.level, frame));
        self.counts[leaf.level] -= 1;
        self.counts[leaf.level - 1] += self.tables.sizes[leaf.level] / self.tables.sizes[leaf.level - 1];
    }

    /// Makes the table around a leaf of `level` and its neighbours one leaf. They all allow the same.
    pub fn merge(&mut self, level: usize, frame: u64) {
        let Some(leaf) = self.tables.walk(frame).filter(|leaf| leaf.level == level) else { return };
        let Some(size) = self.tables.sizes.get(level + 1) else { return };
        let entry = self.entry(level + 1, frame);
        let Entry::Table(slot) = Entry::load(entry) else { return };
        Entry::Leaf(leaf.alias).store(entry);
        self.counts[level] -= size / self.tables.sizes[level];
        self.counts[level + 1] += 1;
        self.retire(slot);
    }

    /// The entry of a level on the way to a frame.
    fn entry(&self, level: usize, frame: u64) -> &AtomicU64 {
        let sizes = &self.tables.sizes;
        let mut above = sizes.len() - 1;
        let mut entry = &self.tables.root[index(frame / sizes[above])];
        while above > level {
            let Entry::Table(slot) = Entry::load(entry) else { break };
            entry = &self.tables.table(slot).entries[index(frame % sizes[above] / sizes[above - 1])];
            above -= 1;
        }
        entry
    }

    /// A table that no walk reaches yet.
    fn make(&mut self, level: usize, start: u64, entry: impl Fn(usize) -> Entry) -> usize {
        let slot = loop {
            match self.free.pop() {
                Some(slot) => break slot,
                None => self.reclaim(),
            }
            yield_now();
        };
        let sizes = &self.tables.sizes;
        let table = self.tables.slots[slot].get_or_init(|| {
            let longest = sizes.windows(2).map(|pair| index(pair[1] / pair[0])).max().unwrap_or(0);
            let entries = (0..longest).map(|_| Entry::Nothing.word()).collect();
            Table { home: AtomicU64::new(NOWHERE), entries }
        });
        for (number, place) in table.entries.iter().enumerate().take(index(sizes[level] / sizes[level - 1])) {
            entry(number).store(place);
        }
        table.home.store(self.tables.home(level, start), Ordering::Release);
        slot
    }

    /// Lets an unlinked table be freed when no thread can be in it any more.
    fn retire(&mut self, slot: usize) {
        self.waiting[self.tables.grace.phase()].push(slot);
        self.reclaim();
    }

    /// Frees the tables whose time has come.
    fn reclaim(&mut self) {
        let Some(over) = self.tables.grace.advance() else { return };
        for slot in std::mem::take(&mut self.waiting[over]) {
            self.tables.table(slot).home.store(NOWHERE, Ordering::Release);
            self.free.push(slot);
        }
    }
}

fn index(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
