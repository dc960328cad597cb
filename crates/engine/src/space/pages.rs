//! Which pages of a zone are reserved: a bit for each, in leaves that exist while anything in them is.
//!
//! A search for free pages passes over a leaf in one step unless it has a run that is long enough. So it takes time by
//! the leaves, which are a few hundred, and not by the reservations. Releasing needs no memory.

use alloc::vec::Vec;
use core::ops::Range;

use crate::Error;

const WORDS: usize = 32;
/// Pages of a leaf.
const LEAF: u64 = 64 * WORDS as u64;

/// The pages, by number.
#[derive(Debug, Default)]
pub(super) struct Pages {
    /// In order of their numbers.
    leaves: Vec<Leaf>,
}

/// The pages from `LEAF * number` on. In calls, positions are relative to the first.
#[derive(Debug)]
struct Leaf {
    number: u64,
    free: Free,
    /// Bit `i` of word `w` is set when page `64 w + i` is reserved.
    words: [u64; WORDS],
}

/// Lengths of runs of free pages in a leaf.
#[derive(Debug, PartialEq, Eq)]
struct Free {
    /// At the first page, and at the last.
    head: u64,
    tail: u64,
    longest: u64,
}

impl Leaf {
    const fn first(&self) -> u64 {
        self.number * LEAF
    }

    /// The first page from `from` on that is reserved, or free.
    fn next(&self, from: u64, reserved: bool) -> Option<u64> {
        let mut mask = u64::MAX << (from % 64);
        for (first, word) in (0..).step_by(64).zip(&self.words).skip((from / 64) as usize) {
            let bits = if reserved { *word } else { !*word } & mask;
            if bits != 0 {
                return Some(first + u64::from(bits.trailing_zeros()));
            }
            mask = u64::MAX;
        }
        None
    }

    fn set(&mut self, pages: Range<u64>, reserved: bool) {
        for (first, word) in (0..).step_by(64).zip(&mut self.words) {
            let (start, end) = (pages.start.max(first), pages.end.min(first + 64));
            if start < end {
                let bits = (u64::MAX >> (64 - (end - start))) << (start - first);
                *word = if reserved { *word | bits } else { *word & !bits };
            }
        }
        self.free = self.count_free();
    }

    fn count_free(&self) -> Free {
        let (mut head, mut tail, mut longest) = (0, 0, 0);
        for run in self.free_runs() {
            let len = run.end - run.start;
            longest = len.max(longest);
            head = if run.start == 0 { len } else { head };
            tail = if run.end == LEAF { len } else { tail };
        }
        Free { head, tail, longest }
    }

    /// The runs of free pages, in absolute numbers, if one of them has `count` pages.
    fn runs_of(&self, count: u64) -> impl Iterator<Item = Range<u64>> {
        let runs = (self.free.longest >= count).then(|| self.free_runs());
        runs.into_iter().flatten().map(|run| self.first() + run.start..self.first() + run.end)
    }

    fn free_runs(&self) -> impl Iterator<Item = Range<u64>> {
        let run_from = |from: u64| {
            let start = if from < LEAF { self.next(from, false) } else { None }?;
            Some(start..self.next(start, true).unwrap_or(LEAF))
        };
        core::iter::successors(run_from(0), move |last| run_from(last.end))
    }
}

impl Pages {
    /// Index of the first leaf with a number of at least `number`.
    fn index_of(&self, number: u64) -> usize {
        self.leaves.partition_point(|leaf| leaf.number < number)
    }

    /// The lowest run of `count` free pages within a range, at a multiple of `mask + 1`.
    pub(super) fn lowest(&self, count: u64, mask: u64, within: &Range<u64>) -> Option<u64> {
        let place_in = |run: Range<u64>| {
            let place = run.start.max(within.start).checked_add(mask)? & !mask;
            (place.checked_add(count)? <= run.end.min(within.end)).then_some(place)
        };
        // Where the run of free pages begins that goes on in the next leaf.
        let mut start = within.start;
        for leaf in &self.leaves[self.index_of(within.start / LEAF)..self.index_of(within.end.div_ceil(LEAF))] {
            let place = place_in(start..leaf.first() + leaf.free.head);
            let place = place.or_else(|| leaf.runs_of(count).find_map(place_in));
            if place.is_some() {
                return place;
            }
            start = leaf.first() + LEAF - leaf.free.tail;
        }
        place_in(start..within.end)
    }

    /// The highest run of `count` free pages within a range, at a multiple of `mask + 1`.
    pub(super) fn highest(&self, count: u64, mask: u64, within: &Range<u64>) -> Option<u64> {
        let place_in = |run: Range<u64>| {
            let place = run.end.min(within.end).checked_sub(count)? & !mask;
            (place >= run.start.max(within.start)).then_some(place)
        };
        // Where the run of free pages ends that goes on in the leaf before.
        let mut end = within.end;
        let leaves = self.index_of(within.start / LEAF)..self.index_of(within.end.div_ceil(LEAF));
        for leaf in self.leaves[leaves].iter().rev() {
            let place = place_in(leaf.first() + LEAF - leaf.free.tail..end);
            let place = place.or_else(|| leaf.runs_of(count).filter_map(place_in).last());
            if place.is_some() {
                return place;
            }
            end = leaf.first() + leaf.free.head;
        }
        place_in(within.start..end)
    }

    /// The first page from `from` on that is reserved, or free. `u64::MAX` if all are free.
    fn next(&self, from: u64, reserved: bool) -> u64 {
        let (mut at, mut index) = (from, self.index_of(from / LEAF));
        loop {
            match self.leaves.get(index) {
                Some(leaf) if leaf.number == at / LEAF => {
                    if let Some(found) = leaf.next(at % LEAF, reserved) {
                        return leaf.first() + found;
                    }
                    (at, index) = (leaf.first() + LEAF, index + 1);
                }
                _ if !reserved => return at,
                Some(leaf) => at = leaf.first(),
                None => return u64::MAX,
            }
        }
    }

    /// Whether all of some pages are reserved.
    pub(super) fn are_reserved(&self, pages: &Range<u64>) -> bool {
        self.next(pages.start, false) >= pages.end
    }

    /// Whether all of some pages are free.
    pub(super) fn are_free(&self, pages: &Range<u64>) -> bool {
        self.next(pages.start, true) >= pages.end
    }

    /// Reserves pages that are free.
    pub(super) fn reserve(&mut self, pages: Range<u64>) -> Result<(), Error> {
        for number in pages.start / LEAF..=(pages.end - 1) / LEAF {
            let index = self.index_of(number);
            if self.leaves.get(index).is_none_or(|leaf| leaf.number != number) {
                // Few zones ever have more than a handful.
                let more = 1 + self.leaves.len() / 8;
                if self.leaves.len() == self.leaves.capacity() && self.leaves.try_reserve_exact(more).is_err() {
                    self.drop_empty();
                    return Err(Error::OutOfMemory);
                }
                self.leaves.insert(
                    index,
                    Leaf { number, free: Free { head: LEAF, tail: LEAF, longest: LEAF }, words: [0; WORDS] },
                );
            }
        }
        self.set(&pages, true);
        Ok(())
    }

    /// Releases pages. Returns whether all of them were reserved; if not, nothing changes.
    pub(super) fn release(&mut self, pages: &Range<u64>) -> bool {
        let were_reserved = self.are_reserved(pages);
        if were_reserved {
            self.set(pages, false);
            self.drop_empty();
        }
        were_reserved
    }

    fn set(&mut self, pages: &Range<u64>, reserved: bool) {
        let (first, end) = (self.index_of(pages.start / LEAF), self.index_of((pages.end - 1) / LEAF + 1));
        for leaf in &mut self.leaves[first..end] {
            let relative = |page: u64| page.clamp(leaf.first(), leaf.first() + LEAF) - leaf.first();
            let part = relative(pages.start)..relative(pages.end);
            leaf.set(part, reserved);
        }
    }

    fn drop_empty(&mut self) {
        self.leaves.retain(|leaf| leaf.free.longest < LEAF);
    }

    /// The maximal runs of reserved pages, in order.
    pub(super) fn reserved(&self) -> impl Iterator<Item = Range<u64>> {
        let run_from = |from: u64| {
            let start = self.next(from, true);
            (start < u64::MAX).then(|| start..self.next(start, false))
        };
        core::iter::successors(run_from(0), move |last| run_from(last.end))
    }

    /// Whether leaves are in order, in use, and know their longest runs.
    pub(super) fn audit(&self) -> bool {
        let is_right = |leaf: &Leaf| leaf.free.longest < LEAF && leaf.free == leaf.count_free();
        self.leaves.is_sorted_by(|one, other| one.number < other.number) && self.leaves.iter().all(is_right)
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use quickcheck::quickcheck;

    use super::*;

    const SPACE: u64 = 3 * LEAF + 100;

    /// What the first call for such a run must return.
    fn naive(reserved: &[bool], count: u64, mask: u64, within: &Range<u64>, is_lowest: bool) -> Option<u64> {
        let is_free = |page: &u64| (*page..*page + count).all(|page| !reserved[usize::try_from(page).expect("small")]);
        let places = (within.start..within.end.saturating_sub(count - 1)).filter(|page| page & mask == 0);
        if is_lowest { places.into_iter().find(is_free) } else { places.rev().find(is_free) }
    }

    quickcheck! {
        fn places_are_the_lowest_and_the_highest(ops: Vec<(u16, u16, u8, u16, u16)>) -> bool {
            let mut reserved = vec![false; usize::try_from(SPACE).expect("small")];
            let mut pages = Pages::default();
            ops.iter().all(|(at, count, choice, low, high)| {
                let count = u64::from(*count) % if choice % 4 == 0 { 3_000 } else { 9 } + 1;
                let mask = (1 << (choice % 3 * 3)) - 1;
                let [low, high] = [*low, *high].map(|bound| u64::from(bound) % SPACE);
                let within = if choice % 2 == 0 { 0..SPACE } else { low.min(high)..low.max(high) + 1 };
                let wanted = [true, false].map(|is_lowest| naive(&reserved, count, mask, &within, is_lowest));
                let found = [pages.lowest(count, mask, &within), pages.highest(count, mask, &within)];
                let start = found[usize::from(*choice) % 2].unwrap_or(u64::from(*at) % (SPACE - count));
                let range = start..start + count;
                let slots = usize::try_from(start).expect("small")..usize::try_from(range.end).expect("small");
                let were_free = pages.are_free(&range);
                if were_free {
                    pages.reserve(range).expect("memory");
                    reserved[slots].fill(true);
                } else if pages.release(&range) {
                    reserved[slots].fill(false);
                }
                let runs = pages.reserved().map(|run| run.end - run.start).sum::<u64>();
                let right = reserved.iter().filter(|reserved| **reserved).count() as u64;
                found == wanted && pages.audit() && runs == right
            })
        }
    }

    #[test]
    fn releasing_what_is_not_reserved_is_noticed() {
        let mut pages = Pages::default();
        pages.reserve(10..20).expect("memory");
        assert!(!pages.release(&(15..21)) && !pages.are_free(&(19..20)));
        assert!(pages.release(&(10..20)) && pages.are_free(&(0..SPACE)) && pages.leaves.is_empty());
    }
}
