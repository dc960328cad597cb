//! Holes by size: which hole fits a request most tightly.
//!
//! Short lengths have a list each; above, each power of two is cut into `1 << steps_log2` lists. A bitmap of the lists
//! that are not empty finds the tightest one in two steps. Of a list, three holes are compared, and the shorter,
//! then lower one wins: that recovers nearly all of what a sorted list would give, in bounded time.
//!
//! Tried and dropped: padding the search by the alignment (1.6 to 2.6 times the space on mixed alignments), taking the
//! head of the list (2 % more space), sorted lists (unbounded insertion), 512 lists per power of two (twice the memory,
//! no denser than 256). Nothing is gained by avoiding small rests, by long holes where none is exact, by the ends of
//! holes for long ranges, or by lengths rounded up: a perfect best fit (`btree` of the bench's R1) has as little space.

use alloc::vec::Vec;

use super::records::{Id, NONE, Record, Records};
use crate::{Error, memory};

/// Lists there are at most: a word is the summary of 64 words.
const MOST: usize = 64 * 64;
/// Holes of a list that are compared: a fourth takes 2 % more instructions and saves no space.
const COMPARED: usize = 3;
/// Holes that are tried for an aligned request before the search pads it.
const TRIES: usize = 16;

/// The lists.
#[derive(Debug)]
pub(super) struct SizeLists {
    heads: Vec<Id>,
    /// Bit `i` of word `w` is set when list `64 w + i` is not empty.
    filled: Vec<u64>,
    /// Bit `w` is set when `filled[w]` is not zero.
    summary: u64,
    /// The last list: it has all holes that are longer.
    last: usize,
    /// Logarithm of the number of lists per power of two.
    steps_log2: u32,
    /// Lengths below this have a list each.
    exact: u32,
}

/// Where a request aligned to `mask + 1` would start in a hole, if it fits.
fn fit(hole: &Record, n: u32, mask: u32) -> Option<u32> {
    let at = hole.start.checked_add(mask)? & !mask;
    (at < hole.end() && hole.end() - at >= n).then_some(at)
}

impl SizeLists {
    /// Lists without room for any hole.
    pub(super) const fn new(steps_log2: u32) -> Self {
        SizeLists { heads: Vec::new(), filled: Vec::new(), summary: 0, last: 0, steps_log2, exact: 0 }
    }

    /// Makes sure that holes up to `longest` can be added.
    pub(super) fn reserve(&mut self, longest: u32) -> Result<(), Error> {
        let lists = self.uncut_list_of(longest).min(MOST - 1) + 1;
        if lists > self.heads.len() {
            memory::try_extend(&mut self.filled, lists.div_ceil(64), 0)?;
            memory::try_extend(&mut self.heads, lists, NONE)?;
            self.last = lists - 1;
            self.exact = u32::try_from(lists).unwrap_or(u32::MAX).min(2 << self.steps_log2);
        }
        Ok(())
    }

    /// Whether room was made for any holes.
    pub(super) const fn exist(&self) -> bool {
        !self.heads.is_empty()
    }

    /// Whether a hole is on one of them.
    #[inline]
    pub(super) const fn are_filled(&self) -> bool {
        self.summary != 0
    }

    pub(super) const fn steps_log2(&self) -> u32 {
        self.steps_log2
    }

    /// The list of holes of a length.
    #[inline]
    fn list_of(&self, len: u32) -> usize {
        if len < self.exact { len as usize } else { self.uncut_list_of(len).min(self.last) }
    }

    const fn uncut_list_of(&self, len: u32) -> usize {
        let octave = (len | 1 << self.steps_log2).ilog2() - self.steps_log2;
        ((octave << self.steps_log2) + (len >> octave)) as usize
    }

    /// Puts a hole at the head of the list of its length, and writes its record. `mark` tells later whose head it is.
    #[inline(always)]
    pub(super) fn push(&mut self, records: &mut Records, id: Id, hole: Record, mark: Id) {
        let list = self.list_of(hole.len());
        let next = core::mem::replace(&mut self.heads[list], id);
        records[id] = Record { prev: mark, next, ..hole };
        if next == NONE {
            self.filled[list / 64] |= 1 << (list % 64);
            self.summary |= 1 << (list / 64);
        } else {
            records[next].prev = id;
        }
    }

    /// Takes the head off the list of its length.
    #[inline]
    pub(super) fn pop(&mut self, hole: &Record) {
        let list = self.list_of(hole.len());
        self.heads[list] = hole.next;
        if hole.next == NONE {
            let filled = &mut self.filled[list / 64];
            *filled &= !(1 << (list % 64));
            if *filled == 0 {
                self.summary &= !(1 << (list / 64));
            }
        }
    }

    /// The first list from `list` on that is not empty.
    #[inline]
    fn filled_from(&self, list: usize) -> Option<usize> {
        let word = list / 64;
        let bits = self.filled.get(word)? & (u64::MAX << (list % 64));
        if bits != 0 {
            return Some(word * 64 + bits.trailing_zeros() as usize);
        }
        let words = self.summary & (u64::MAX << word << 1);
        let word = (words != 0).then_some(words.trailing_zeros() as usize)?;
        Some(word * 64 + self.filled[word].trailing_zeros() as usize)
    }

    /// Of the first few holes of a list, the tightest that holds `n` quanta.
    #[inline]
    fn tightest_of_few(&self, records: &Records, list: usize, n: u32) -> Option<Id> {
        let mut next = self.heads.get(list).copied()?;
        let (mut best, mut least) = (NONE, u64::MAX);
        for _ in 0..COMPARED {
            if next == NONE {
                break;
            }
            let hole = &records[next];
            // The key of one that is too short is above that of any other.
            let key = u64::from(hole.len().wrapping_sub(n)) << 32 | u64::from(hole.start);
            if key < least {
                (best, least) = (next, key);
            }
            next = hole.next;
        }
        (least >> 63 == 0).then_some(best)
    }

    /// The hole that fits `n` quanta most tightly. `None` only if none is long enough.
    #[inline]
    pub(super) fn tightest(&self, records: &Records, n: u32) -> Option<Id> {
        if n >= self.exact {
            return self.tightest_long(records, n);
        }
        let list = n as usize;
        let list = if self.heads[list] == NONE { self.filled_from(list + 1)? } else { list };
        self.tightest_of_few(records, list, n)
    }

    /// The same where only some of the holes on the list of the length are long enough.
    fn tightest_long(&self, records: &Records, n: u32) -> Option<Id> {
        let list = self.list_of(n);
        if let Some(found) = self.tightest_of_few(records, list, n) {
            return Some(found);
        }
        match self.filled_from(list + 1) {
            Some(list) => self.tightest_of_few(records, list, n),
            None => self.iter(records, list).find(|(_, hole)| hole.len() >= n).map(|(id, _)| id),
        }
    }

    /// A tight hole for `n` quanta aligned to `mask + 1`, and where in it: of the first few real candidates from the
    /// tightest list up, then of holes that are long enough wherever they start, then of all there are.
    pub(super) fn tightest_aligned(&self, records: &Records, n: u32, mask: u32) -> Option<(Id, u32)> {
        let place = |id: Id| fit(&records[id], n, mask).map(|start| (id, start));
        if let Some(found) = self.tightest(records, n).and_then(place) {
            return Some(found);
        }
        let lists = core::iter::successors(self.filled_from(self.list_of(n)), |&list| self.filled_from(list + 1));
        let mut candidates = lists.flat_map(|list| self.iter(records, list)).map(|(id, _)| id);
        if let Some(found) = candidates.by_ref().take(TRIES).find_map(place) {
            return Some(found);
        }
        let padded = n.checked_add(mask).and_then(|padded| self.tightest(records, padded));
        padded.and_then(place).or_else(|| candidates.find_map(place))
    }

    /// The holes on a list.
    pub(super) fn iter<'a>(&'a self, records: &'a Records, list: usize) -> impl Iterator<Item = (Id, Record)> + 'a {
        let hole = |id: Id| (id != NONE).then(|| (id, records[id]));
        core::iter::successors(self.heads.get(list).copied().and_then(hole), move |(_, last)| hole(last.next))
    }

    /// Length of the longest hole.
    pub(super) fn longest(&self, records: &Records) -> u32 {
        let last = self.filled.iter().rposition(|word| *word != 0);
        let list = last.map_or(0, |word| word * 64 + self.filled[word].ilog2() as usize);
        self.iter(records, list).map(|(_, hole)| hole.len()).max().unwrap_or(0)
    }

    /// The holes on all lists that are on the right one.
    pub(super) fn listed<'a>(&'a self, records: &'a Records) -> impl Iterator<Item = (Id, Record)> + 'a {
        let right = move |list| self.iter(records, list).filter(move |(_, hole)| self.list_of(hole.len()) == list);
        (0..self.heads.len()).flat_map(right)
    }

    /// Bytes of heap in use.
    pub(super) fn heap_bytes(&self) -> usize {
        self.heads.capacity() * size_of::<Id>() + self.filled.capacity() * size_of::<u64>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_in_the_order_of_lengths_and_in_range() {
        for steps_log2 in 0..9 {
            let mut lists = SizeLists::new(steps_log2);
            lists.reserve(u32::MAX >> 1).expect("memory");
            let mut last = 0;
            for len in (1..5_000).chain((13..31).flat_map(|k| [(1 << k) - 1, 1 << k, (1 << k) + (1 << (k - 5))])) {
                let list = lists.list_of(len);
                assert!(list >= last && list < lists.heads.len(), "{len}");
                assert!(len >> steps_log2 >= 2 || (list == len as usize && lists.list_of(len + 1) > list), "{len}");
                last = list;
            }
        }
    }

    #[test]
    fn fit_respects_the_end_of_the_hole() {
        let fit = |start, len, n, mask| fit(&Record::new(start, len, false), n, mask);
        assert_eq!(fit(1, 7, 4, 3), Some(4));
        assert_eq!(fit(1, 6, 4, 3), None);
        assert_eq!(fit(1, 2, 1, 7), None);
    }
}
