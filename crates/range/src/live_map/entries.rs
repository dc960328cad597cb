//! The live ranges of a page that are not inline: those with another tag than the page's common one, the very long ones,
//! and the first of two that start in one pair of quanta.
//!
//! One word says all about such a range: start, length and tag change together. It is found by hashing the start, in a
//! few places of each of a chain of tables. A table never moves and never goes while there may be readers, and an entry
//! stays in its place as long as its range is live.

use alloc::{boxed::Box, vec::Vec};

use once_cell::race::OnceBox;

use super::page::PAGE_LOG2;
use crate::sync::{AtomicU64, Ordering};
use crate::{Error, memory};

const START_BITS: u32 = PAGE_LOG2;
const LEN_BITS: u32 = 31;
/// Bits of a tag.
pub const TAG_BITS: u32 = 21;
const _: () = assert!(START_BITS + LEN_BITS + TAG_BITS <= u64::BITS, "an entry is one word");

/// Places of a table where an entry may be.
const PLACES: usize = 8;
/// Entries of the first table; each further one has four times as many.
const FIRST: usize = 8;

/// A live range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry {
    /// Relative to the page.
    pub(super) start: u32,
    pub(super) len: u32,
    pub(super) tag: u32,
}

impl Entry {
    fn packed(self) -> u64 {
        u64::from(self.tag) << (START_BITS + LEN_BITS) | u64::from(self.len) << START_BITS | u64::from(self.start)
    }

    /// `None` for an empty place: no range has length 0.
    #[expect(clippy::cast_possible_truncation, reason = "the fields are less than 32 bits each")]
    fn unpacked(packed: u64) -> Option<Self> {
        let start = packed as u32 & ((1 << START_BITS) - 1);
        let len = (packed >> START_BITS) as u32 & ((1 << LEN_BITS) - 1);
        (packed != 0).then_some(Entry { start, len, tag: (packed >> (START_BITS + LEN_BITS)) as u32 })
    }
}

/// A table, and those after it.
#[derive(Debug)]
pub(super) struct Entries {
    places: Box<[AtomicU64]>,
    next: OnceBox<[Entries; 1]>,
}

impl Entries {
    /// A first table.
    pub(super) fn new() -> Result<Self, Error> {
        Entries::with_places(FIRST)
    }

    fn with_places(count: usize) -> Result<Self, Error> {
        let mut places = Vec::new();
        memory::try_reserve_exact(&mut places, count)?;
        places.resize_with(count, || AtomicU64::new(0));
        Ok(Entries { places: places.into_boxed_slice(), next: OnceBox::new() })
    }

    fn chain(&self) -> impl Iterator<Item = &Entries> {
        core::iter::successors(Some(self), |table| table.next.get().map(|[next]| next))
    }

    /// Where the entry of a start may be.
    fn places(&self, start: u32) -> impl Iterator<Item = &AtomicU64> {
        let hash = start.wrapping_mul(0x9e37_79b1) >> 16;
        (0..PLACES).map(move |step| &self.places[(hash as usize + step) % self.places.len()])
    }

    fn place_of(&self, start: u32) -> Option<(&AtomicU64, Entry)> {
        self.chain().flat_map(|table| table.places(start)).find_map(|place| {
            let entry = Entry::unpacked(place.load(Ordering::Acquire))?;
            (entry.start == start).then_some((place, entry))
        })
    }

    fn free_places(&self, start: u32) -> impl Iterator<Item = &AtomicU64> {
        self.chain().flat_map(move |table| table.places(start)).filter(|place| place.load(Ordering::Relaxed) == 0)
    }

    /// Makes sure that the entry of a start can be added without allocating, even after some others were.
    pub(super) fn reserve(&self, start: u32, others: usize) -> Result<(), Error> {
        while self.free_places(start).nth(others).is_none() {
            let last = self.chain().last().unwrap_or(self);
            let more = memory::try_box(Entries::with_places(last.places.len() * 4)?)?;
            // Only one thread at a time writes a page, so no other has set it.
            let _ = last.next.set(more);
        }
        Ok(())
    }

    /// The entry of a start.
    pub(super) fn get(&self, start: u32) -> Option<Entry> {
        self.place_of(start).map(|(_, entry)| entry)
    }

    /// Adds an entry, for which room must have been [reserved](Self::reserve), or replaces the one of its start.
    pub(super) fn put(&self, entry: Entry) {
        let place = self.place_of(entry.start).map(|(place, _)| place).or_else(|| self.free_places(entry.start).next());
        let Some(place) = place else { panic!("I9: no room was reserved for the entry at {}", entry.start) };
        place.store(entry.packed(), Ordering::Release);
    }

    /// Removes the entry of a start, if there is one, and returns it.
    pub(super) fn remove(&self, start: u32) -> Option<Entry> {
        let (place, entry) = self.place_of(start)?;
        place.store(0, Ordering::Release);
        Some(entry)
    }

    /// Bytes of heap in use.
    pub(super) fn heap_bytes(&self) -> usize {
        self.chain().map(|table| size_of::<Entries>() + size_of_val(&*table.places)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_found_until_removed_however_many_there_are() {
        let entries = Entries::new().expect("memory");
        let entry = |start: u32| Entry { start, len: start + 1, tag: start % 7 };
        for start in 0..1 << START_BITS {
            entries.reserve(start, 0).expect("memory");
            entries.put(entry(start));
        }
        for start in (0..1 << START_BITS).step_by(3) {
            entries.remove(start);
        }
        for start in 0..1 << START_BITS {
            assert_eq!(entries.get(start), (start % 3 != 0).then_some(entry(start)), "{start}");
        }
    }

    #[test]
    fn two_that_were_reserved_before_either_was_added_both_have_room() {
        let entry = |start| Entry { start, len: 1, tag: 1 };
        for others in 0..64 {
            let entries = Entries::new().expect("memory");
            for start in 0..others {
                entries.reserve(start, 0).expect("memory");
                entries.put(entry(start));
            }
            entries.reserve(others, 0).expect("memory");
            entries.reserve(others + 1, 1).expect("memory");
            entries.put(entry(others));
            entries.put(entry(others + 1));
        }
    }

    #[test]
    fn largest_fields_keep_apart() {
        let entry = Entry { start: (1 << START_BITS) - 1, len: (1 << LEN_BITS) - 1, tag: (1 << TAG_BITS) - 1 };
        assert_eq!(Entry::unpacked(entry.packed()), Some(entry));
        assert_eq!(Entry::unpacked(0), None);
    }
}
