//! Best fit over the standard library's trees: free ranges by length and by position, live ranges by position.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;

use crate::ranges::replay::{LookUp, Position, Ranges};

/// Free ranges that are tried before one is taken that is long enough wherever it begins.
const CANDIDATES: usize = 16;

#[derive(Debug, Default)]
pub(crate) struct BTree {
    free_by_length: BTreeSet<(u64, u64)>,
    free: BTreeMap<u64, u64>,
    live: BTreeMap<u64, u64>,
}

impl BTree {
    fn add_free(&mut self, start: u64, len: u64) {
        if len > 0 {
            self.free.insert(start, len);
            self.free_by_length.insert((len, start));
        }
    }

    fn remove_free(&mut self, start: u64, len: u64) {
        self.free.remove(&start);
        self.free_by_length.remove(&(len, start));
    }
}

impl Ranges for BTree {
    type Token = Position;

    fn new(capacity: u64, _: usize) -> Result<Self> {
        let mut tree = BTree::default();
        tree.add_free(0, capacity);
        Ok(tree)
    }

    fn alloc(&mut self, granules: u32, align: u32) -> Option<Position> {
        let (wanted, align) = (u64::from(granules), u64::from(align));
        let fits = |(len, start): &(u64, u64)| start.next_multiple_of(align) + wanted <= start + len;
        let mut candidates = self.free_by_length.range((wanted, 0)..).copied().take(CANDIDATES);
        let (len, start) =
            candidates.find(fits).or_else(|| self.free_by_length.range((wanted + align - 1, 0)..).copied().next())?;
        self.remove_free(start, len);
        let at = start.next_multiple_of(align);
        self.add_free(start, at - start);
        self.add_free(at + wanted, start + len - at - wanted);
        self.live.insert(at, wanted);
        Some(Position::new(at))
    }

    fn free(&mut self, at: Position) {
        let at = at.get();
        let Some(len) = self.live.remove(&at) else { return };
        let (mut start, mut end) = (at, at + len);
        if let Some((&before, &len)) = self.free.range(..at).next_back()
            && before + len == at
        {
            self.remove_free(before, len);
            start = before;
        }
        if let Some(&len) = self.free.get(&end) {
            self.remove_free(end, len);
            end += len;
        }
        self.add_free(start, end - start);
    }

    fn position(&self, at: Position, _: u32) -> u64 {
        at.get()
    }
}

impl LookUp for BTree {
    fn find(&self, position: u64) -> Option<u64> {
        let (&start, &len) = self.live.range(..=position).next_back()?;
        (position < start + len).then_some(start)
    }
}
