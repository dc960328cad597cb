//! A table of large things by number, most of which are never made; what was made stays where it is.

use alloc::vec::Vec;

use once_cell::race::OnceBox;

use crate::{Error, memory};

/// Large things on one shelf. Fewer make the table itself larger, more the shelves of those that have few.
const SHELF: usize = 128;

type Shelf<T> = [OnceBox<[T; 1]>; SHELF];

/// The table. Looking never waits, also not for whoever makes something.
#[derive(Debug)]
pub(super) struct Directory<T> {
    shelves: Vec<OnceBox<[Shelf<T>; 1]>>,
}

impl<T> Directory<T> {
    /// A table for numbers below `count`.
    pub(super) fn new(count: usize) -> Result<Self, Error> {
        let mut shelves = Vec::new();
        memory::try_reserve(&mut shelves, count.div_ceil(SHELF))?;
        shelves.resize_with(count.div_ceil(SHELF), OnceBox::new);
        Ok(Directory { shelves })
    }

    /// What has a number, if it was made.
    #[inline]
    pub(super) fn get(&self, number: usize) -> Option<&T> {
        let [shelf] = self.shelves.get(number / SHELF)?.get()?;
        let [made] = shelf[number % SHELF].get()?;
        Some(made)
    }

    /// What has a number; made now if it was not.
    pub(super) fn get_or_make(&self, number: usize) -> Result<&T, Error>
    where
        T: Default,
    {
        let limit = (self.shelves.len() * SHELF) as u64;
        let shelf = self.shelves.get(number / SHELF).ok_or(Error::TooLarge { value: number as u64, limit })?;
        let [shelf] = shelf.get_or_try_init(|| memory::try_box(core::array::from_fn(|_| OnceBox::new())))?;
        let [made] = shelf[number % SHELF].get_or_try_init(|| memory::try_box(T::default()))?;
        Ok(made)
    }

    /// The last that was made with a number at or below `number`, with its number.
    pub(super) fn last_made(&self, number: usize) -> Option<(usize, &T)> {
        let mut number = number;
        loop {
            match self.shelves.get(number / SHELF).and_then(OnceBox::get) {
                None => number = (number / SHELF * SHELF).checked_sub(1)?,
                Some([shelf]) => match shelf[number % SHELF].get() {
                    Some([made]) => return Some((number, made)),
                    None => number = number.checked_sub(1)?,
                },
            }
        }
    }

    /// The first that was made with a number at or above `number`, with its number.
    pub(super) fn next_made(&self, number: usize) -> Option<(usize, &T)> {
        let mut number = number;
        loop {
            match self.shelves.get(number / SHELF)?.get() {
                None => number = (number / SHELF + 1) * SHELF,
                Some([shelf]) => match shelf[number % SHELF].get() {
                    Some([made]) => return Some((number, made)),
                    None => number += 1,
                },
            }
        }
    }

    /// What was made, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.shelves.iter().filter_map(OnceBox::get).flat_map(|[shelf]| shelf.iter().filter_map(OnceBox::get).flatten())
    }

    /// Bytes of heap in use, what was made not counted.
    pub(super) fn heap_bytes(&self) -> usize {
        let shelves = self.shelves.iter().filter(|shelf| shelf.get().is_some()).count();
        self.shelves.capacity() * size_of::<usize>() + shelves * size_of::<Shelf<T>>()
    }
}
