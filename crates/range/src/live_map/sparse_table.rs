//! A sparse table: large things by number, most of which are never made. What was made stays where it is.
//!
//! Three levels of [`FAN_OUT`] numbers each: the first thing costs two nodes of 512 bytes, and the list that all tables
//! begin with has an entry for 4,096 numbers. Two levels would save five instructions a look-up, and cost windows of
//! several gigabytes tens of kilobytes before anything is in them.
//!
//! Things are *marked* as long as they are in use, so that a search passes over the others.

use alloc::vec::Vec;

use once_cell::race::OnceBox;

use crate::sync::{AtomicU64, Ordering};
use crate::{Error, memory};

/// Numbers of a leaf, and leaves of a branch.
const FAN_OUT: usize = 64;

type Branch<T> = [OnceBox<[Leaf<T>; 1]>; FAN_OUT];

#[derive(Debug)]
struct Leaf<T> {
    /// Bit `i` is set while thing `i` is marked.
    marks: AtomicU64,
    things: [OnceBox<[T; 1]>; FAN_OUT],
}

/// The table. A look-up never waits, not even for a thread that makes something.
#[derive(Debug)]
pub(super) struct SparseTable<T> {
    roots: Vec<OnceBox<Branch<T>>>,
}

const fn root_of(number: usize) -> usize {
    number / (FAN_OUT * FAN_OUT)
}

impl<T> SparseTable<T> {
    /// A table for numbers below `count`.
    pub(super) fn new(count: usize) -> Result<Self, Error> {
        let mut roots = Vec::new();
        let len = count.div_ceil(FAN_OUT * FAN_OUT);
        memory::try_reserve_exact(&mut roots, len)?;
        roots.resize_with(len, OnceBox::new);
        Ok(SparseTable { roots })
    }

    #[inline]
    fn leaf(&self, number: usize) -> Option<&Leaf<T>> {
        let [leaf] = self.roots.get(root_of(number))?.get()?[number / FAN_OUT % FAN_OUT].get()?;
        Some(leaf)
    }

    /// The thing of a number, if it was made.
    #[inline]
    pub(super) fn get(&self, number: usize) -> Option<&T> {
        let [thing] = self.leaf(number)?.things[number % FAN_OUT].get()?;
        Some(thing)
    }

    /// The thing of a number; made now if it was not.
    #[cold]
    pub(super) fn get_or_make(&self, number: usize) -> Result<&T, Error>
    where
        T: Default,
    {
        let root = self.roots.get(root_of(number)).ok_or(Error::TooLarge(number as u64))?;
        let branch = root.get_or_try_init(|| memory::try_array(OnceBox::new))?;
        let new = || Leaf { marks: AtomicU64::new(0), things: [const { OnceBox::new() }; FAN_OUT] };
        let [leaf] = branch[number / FAN_OUT % FAN_OUT].get_or_try_init(|| memory::try_box(new()))?;
        let [thing] = leaf.things[number % FAN_OUT].get_or_try_init(|| memory::try_box(T::default()))?;
        Ok(thing)
    }

    /// Marks the thing of a number that was made, or ends that.
    #[cold]
    pub(super) fn mark(&self, number: usize, is_in_use: bool) {
        let (leaf, bit) = (self.leaf(number), 1 << (number % FAN_OUT));
        match is_in_use {
            true => leaf.map(|leaf| leaf.marks.fetch_or(bit, Ordering::AcqRel)),
            false => leaf.map(|leaf| leaf.marks.fetch_and(!bit, Ordering::AcqRel)),
        };
    }

    /// Which numbers of the leaf around a number are marked, or for how many around it there is no leaf.
    fn marks(&self, number: usize) -> Result<u64, usize> {
        let branch = self.roots.get(root_of(number)).and_then(OnceBox::get).ok_or(FAN_OUT * FAN_OUT)?;
        let [leaf] = branch[number / FAN_OUT % FAN_OUT].get().ok_or(FAN_OUT)?;
        Ok(leaf.marks.load(Ordering::Acquire))
    }

    /// The last thing that is marked with a number at or below `number`, and its number.
    pub(super) fn last_marked(&self, number: usize) -> Option<(usize, &T)> {
        let mut number = number;
        loop {
            let gap = match self.marks(number) {
                Ok(marks) => match (marks & u64::MAX >> (FAN_OUT - 1 - number % FAN_OUT)).checked_ilog2() {
                    Some(last) => {
                        let last = (number & !(FAN_OUT - 1)) + last as usize;
                        return Some((last, self.get(last)?));
                    }
                    None => FAN_OUT,
                },
                Err(gap) => gap,
            };
            number = (number & !(gap - 1)).checked_sub(1)?;
        }
    }

    /// The first thing that is marked with a number at or above `number`, and its number.
    fn next_marked(&self, number: usize) -> Option<(usize, &T)> {
        let mut number = number;
        while root_of(number) < self.roots.len() {
            let gap = match self.marks(number).map(|marks| marks >> (number % FAN_OUT)) {
                Ok(0) => FAN_OUT,
                Ok(marks) => {
                    let next = number + marks.trailing_zeros() as usize;
                    return Some((next, self.get(next)?));
                }
                Err(gap) => gap,
            };
            number = (number | (gap - 1)) + 1;
        }
        None
    }

    /// What is marked with numbers from `number` on, in order.
    pub(super) fn marked_from(&self, number: usize) -> impl Iterator<Item = (usize, &T)> {
        core::iter::successors(self.next_marked(number), |&(number, _)| self.next_marked(number + 1))
    }

    /// Everything that was made.
    pub(super) fn made(&self) -> impl Iterator<Item = &T> {
        self.leaves().flat_map(|leaf| leaf.things.iter().filter_map(OnceBox::get).flatten())
    }

    fn leaves(&self) -> impl Iterator<Item = &Leaf<T>> {
        self.roots.iter().filter_map(OnceBox::get).flat_map(|branch| branch.iter().filter_map(OnceBox::get).flatten())
    }

    /// Bytes of heap in use, what was made not counted.
    pub(super) fn heap_bytes(&self) -> usize {
        let branches = self.roots.iter().filter(|root| root.get().is_some()).count();
        let nodes = branches * size_of::<Branch<T>>() + self.leaves().count() * size_of::<Leaf<T>>();
        self.roots.capacity() * size_of::<usize>() + nodes
    }

    /// Drops what was made under each root where nothing is marked.
    pub(super) fn drop_unmarked(&mut self) {
        for root in 0..self.roots.len() {
            if self.next_marked(root * FAN_OUT * FAN_OUT).is_none_or(|(number, _)| root_of(number) != root) {
                self.roots[root] = OnceBox::new();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_marked_is_found_across_what_is_not() {
        let mut table = SparseTable::<u32>::new(20_000).expect("memory");
        let numbers = [3, 64, 4_095, 4_096, 19_999];
        for number in numbers.into_iter().chain([7, 5_000, 9_000]) {
            table.get_or_make(number).expect("memory");
            table.mark(number, true);
        }
        for number in [7, 5_000, 9_000] {
            table.mark(number, false);
        }
        for at in 0..20_000 {
            let last = numbers.iter().rfind(|number| **number <= at);
            let next = numbers.iter().find(|number| **number >= at);
            assert_eq!(table.last_marked(at).map(|(number, _)| number), last.copied());
            assert_eq!(table.next_marked(at).map(|(number, _)| number), next.copied());
        }
        assert!(table.marked_from(0).map(|(number, _)| number).eq(numbers));
        assert!(matches!(table.get_or_make(30_000), Err(Error::TooLarge(_))));
        assert_eq!(table.made().count(), 8);
        table.drop_unmarked();
        assert_eq!((table.made().count(), table.get(9_000), table.get(5_000)), (7, None, Some(&0)));
    }
}
