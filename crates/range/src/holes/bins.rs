//! Holes by size: which hole fits a request most tightly.
//!
//! Every length below 1,024 quanta has a list of its own; above, each power of two is cut into 32 lists. A bitmap of
//! the lists that are not empty finds the tightest one in two steps. Of a list, the first few holes are compared and
//! the smallest, then lowest, wins: that recovers nearly all of what a sorted list would give, in bounded time.
//!
//! Tried and dropped: padding the search by the alignment (1.6 to 2.6 times the space on mixed alignments), taking
//! the head of the list (2 % more space), sorted lists (unbounded insertion). Nothing is gained by avoiding small rests,
//! by long holes where none is exact, by the ends of holes for long ranges, or by lengths rounded up: a perfect best fit
//! (`btree` of the bench's R1) has as little space as any of them.

use alloc::vec::Vec;

use super::nodes::{Id, NONE, Nodes};
use crate::{Error, memory};

/// Lengths below this have exact classes.
const EXACT: u32 = 1 << EXACT_LOG2;
const EXACT_LOG2: u32 = 10;
/// Classes per power of two above.
const STEPS_LOG2: u32 = 5;
const CLASSES: usize = (EXACT as usize) + (((31 - EXACT_LOG2) as usize) << STEPS_LOG2);
const _: () = assert!(CLASSES <= 64 * 64, "a word is the summary of 64 words");

/// Holes of one list that are compared.
const COMPARED: usize = 4;
/// Holes that are tried for an aligned request before the search pads it.
const TRIES: usize = 16;

/// A place for a request: which hole, and where in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(super) hole: Id,
    pub(crate) start: u32,
}

/// The lists.
#[derive(Debug, Default)]
pub(super) struct Bins {
    heads: Vec<Id>,
    filled: Vec<u64>,
    /// Bit `w` is set when `filled[w]` is not zero.
    summary: u64,
}

/// The class whose list holds holes of this length.
const fn class_of(len: u32) -> usize {
    if len < EXACT {
        return len as usize;
    }
    let octave = len.ilog2();
    let step = (len >> (octave - STEPS_LOG2)) & ((1 << STEPS_LOG2) - 1);
    (EXACT + ((octave - EXACT_LOG2) << STEPS_LOG2) + step) as usize
}

/// The first class all of whose holes have at least this length.
const fn class_above(len: u32) -> usize {
    if len < EXACT {
        return len as usize;
    }
    class_of(len.saturating_add((1 << (len.ilog2() - STEPS_LOG2)) - 1))
}

/// Where a request aligned to `mask + 1` would start in a hole, if it fits.
pub(super) fn fit(start: u32, len: u32, n: u32, mask: u32) -> Option<u32> {
    let at = start.checked_add(mask)? & !mask;
    (at - start <= len && len - (at - start) >= n).then_some(at)
}

impl Bins {
    /// Makes sure that holes of up to `longest` can be added. Allocates once in the life of the bins.
    pub(super) fn reserve(&mut self, longest: u32) -> Result<(), Error> {
        if self.heads.is_empty() {
            let classes = class_of(longest) + 1;
            memory::try_extend(&mut self.filled, classes.div_ceil(64))?;
            memory::try_reserve(&mut self.heads, classes)?;
            self.heads.resize(classes, NONE);
        }
        Ok(())
    }

    /// Lists a hole under its length.
    pub(super) fn add(&mut self, nodes: &mut Nodes, id: Id) {
        let class = class_of(nodes[id].len);
        let head = self.heads[class];
        nodes[id].size_prev = NONE;
        nodes[id].size_next = head;
        self.heads[class] = id;
        if head == NONE {
            self.filled[class / 64] |= 1 << (class % 64);
            self.summary |= 1 << (class / 64);
        } else {
            nodes[head].size_prev = id;
        }
    }

    /// Takes a hole off its list.
    pub(super) fn remove(&mut self, nodes: &mut Nodes, id: Id) {
        let hole = nodes[id];
        if hole.size_next != NONE {
            nodes[hole.size_next].size_prev = hole.size_prev;
        }
        if hole.size_prev != NONE {
            nodes[hole.size_prev].size_next = hole.size_next;
            return;
        }
        let class = class_of(hole.len);
        self.heads[class] = hole.size_next;
        if hole.size_next == NONE {
            self.filled[class / 64] &= !(1 << (class % 64));
            if self.filled[class / 64] == 0 {
                self.summary &= !(1 << (class / 64));
            }
        }
    }

    /// Changes the length of a hole.
    pub(super) fn resize(&mut self, nodes: &mut Nodes, id: Id, len: u32) {
        if class_of(nodes[id].len) == class_of(len) {
            nodes[id].len = len;
            return;
        }
        self.remove(nodes, id);
        nodes[id].len = len;
        self.add(nodes, id);
    }

    /// The first class at or above `class` with a hole in it.
    fn filled_from(&self, class: usize) -> Option<usize> {
        let word = class / 64;
        let bits = self.filled.get(word)? & (u64::MAX << (class % 64));
        if bits != 0 {
            return Some(word * 64 + bits.trailing_zeros() as usize);
        }
        let words = self.summary & (u64::MAX << word) & !(1 << word);
        if words == 0 {
            return None;
        }
        let word = words.trailing_zeros() as usize;
        Some(word * 64 + self.filled[word].trailing_zeros() as usize)
    }

    fn list<'a>(&'a self, nodes: &'a Nodes, class: usize) -> impl Iterator<Item = Id> + 'a {
        let head = self.heads.get(class).copied();
        let listed = |id: Id| (id != NONE).then_some(id);
        core::iter::successors(head.and_then(listed), move |&id| listed(nodes[id].size_next))
    }

    /// Of the first few holes in a class, the smallest that holds `n`; of equals, the lowest.
    fn tightest_in(&self, nodes: &Nodes, class: usize, n: u32) -> Option<Place> {
        let mut next = self.heads.get(class).copied().unwrap_or(NONE);
        let (mut best, mut least) = (NONE, u64::MAX);
        for _ in 0..COMPARED {
            if next == NONE {
                break;
            }
            let hole = &nodes[next];
            let key = u64::from(hole.len) << 32 | u64::from(hole.start);
            if hole.len >= n && key < least {
                (best, least) = (next, key);
            }
            next = hole.size_next;
        }
        #[expect(clippy::cast_possible_truncation, reason = "the low half is the start")]
        let start = least as u32;
        (best != NONE).then_some(Place { hole: best, start })
    }

    /// The tightest place for `n` quanta. Fails only if no hole is long enough.
    pub(super) fn tightest(&self, nodes: &Nodes, n: u32) -> Option<Place> {
        if n >= EXACT
            && let Some(place) = self.tightest_in(nodes, class_of(n), n)
        {
            return Some(place);
        }
        if let Some(class) = self.filled_from(class_above(n)) {
            return self.tightest_in(nodes, class, n);
        }
        // Only holes of this very class are left, and none of its first few was long enough.
        self.list(nodes, class_of(n))
            .find(|&id| nodes[id].len >= n)
            .map(|hole| Place { hole, start: nodes[hole].start })
    }

    /// A tight place for `n` quanta aligned to `mask + 1`: the first few real candidates from the tightest class up,
    /// then a hole that is long enough wherever it starts, then every hole there is.
    pub(super) fn tightest_aligned(&self, nodes: &Nodes, n: u32, mask: u32) -> Option<Place> {
        let place = |hole: Id| fit(nodes[hole].start, nodes[hole].len, n, mask).map(|start| Place { hole, start });
        let classes = core::iter::successors(self.filled_from(class_of(n)), |&class| self.filled_from(class + 1));
        let mut candidates = classes.flat_map(|class| self.list(nodes, class));
        if let Some(found) = candidates.by_ref().take(TRIES).find_map(place) {
            return Some(found);
        }
        let padded = n.checked_add(mask).and_then(|padded| self.filled_from(class_above(padded)));
        if let Some(class) = padded {
            return self.list(nodes, class).find_map(place);
        }
        candidates.find_map(place)
    }

    /// Length of the longest hole.
    pub(super) fn longest(&self, nodes: &Nodes) -> u32 {
        if self.summary == 0 {
            return 0;
        }
        let word = self.summary.ilog2() as usize;
        let class = word * 64 + self.filled[word].ilog2() as usize;
        self.list(nodes, class).map(|id| nodes[id].len).max().unwrap_or(0)
    }

    /// Whether a hole is on the list of its length.
    pub(super) fn lists(&self, nodes: &Nodes, id: Id) -> bool {
        self.list(nodes, class_of(nodes[id].len)).any(|listed| listed == id)
    }

    /// Number of holes on all lists.
    pub(super) fn count(&self, nodes: &Nodes) -> usize {
        (0..self.heads.len()).map(|class| self.list(nodes, class).count()).sum()
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
    fn classes_are_ordered_and_in_range() {
        let mut last = 0;
        for len in (1..5_000).chain((13..31).flat_map(|k| [(1 << k) - 1, 1 << k, (1 << k) + (1 << (k - 5))])) {
            let class = class_of(len);
            assert!(class >= last && class < CLASSES, "{len}");
            assert!(class_above(len) >= class);
            last = class;
        }
    }

    #[test]
    fn fit_respects_the_end_of_the_hole() {
        assert_eq!(fit(1, 7, 4, 3), Some(4));
        assert_eq!(fit(1, 6, 4, 3), None);
        assert_eq!(fit(u32::MAX - 2, 2, 1, 7), None);
    }
}
