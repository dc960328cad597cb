//! The records of holes: numbered slots. The one that was given back last is used first, so those in use stay dense.

use alloc::vec::Vec;

use crate::{Error, memory};

/// Number of a slot.
pub(crate) type Id = u32;

/// The end of a list.
pub(crate) const NONE: Id = u32::MAX;

/// What is known about a hole, in 20 bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Record {
    pub(crate) start: u32,
    /// Its length, and [`WITHHELD`]. 0 in a slot that is not used.
    pub(super) len: u32,
    /// Neighbours in its list.
    pub(super) prev: Id,
    pub(super) next: Id,
    /// Next hole in the bucket; in a slot that is not used, the next such slot.
    pub(super) chain: Id,
}

const WITHHELD: u32 = 1 << 31;

impl Record {
    /// The record of a hole that is in no list and bucket.
    pub(super) const fn new(start: u32, len: u32, is_withheld: bool) -> Self {
        let len = if is_withheld { len | WITHHELD } else { len };
        Record { start, len, prev: NONE, next: NONE, chain: NONE }
    }

    /// The same record for another stretch, which serves requests.
    pub(super) const fn resized(&self, start: u32, len: u32) -> Self {
        Record { start, len, ..*self }
    }

    /// The record for this stretch and the one after it together. Withheld if one of them is.
    pub(super) const fn with(&self, after: &Record) -> Self {
        let len = (self.len() + after.len()) | ((self.len | after.len) & WITHHELD);
        Record { len, ..*self }
    }

    pub(crate) const fn len(&self) -> u32 {
        self.len & !WITHHELD
    }

    pub(crate) const fn end(&self) -> u32 {
        self.start + self.len()
    }

    /// Whether the hole serves no request.
    pub(crate) const fn is_withheld(&self) -> bool {
        self.len & WITHHELD != 0
    }
}

/// The slots.
///
/// Tried and dropped: slots in small pages that never move, which take 7 % more instructions for an allocation and a free,
/// and a tenth more time.
#[derive(Debug)]
pub(super) struct Records {
    slots: Vec<Record>,
    unused: Id,
    in_use: usize,
}

impl core::ops::Index<Id> for Records {
    type Output = Record;

    #[inline]
    fn index(&self, id: Id) -> &Record {
        &self.slots[id as usize]
    }
}

impl core::ops::IndexMut<Id> for Records {
    #[inline]
    fn index_mut(&mut self, id: Id) -> &mut Record {
        &mut self.slots[id as usize]
    }
}

impl Records {
    pub(super) const fn new() -> Self {
        Records { slots: Vec::new(), unused: NONE, in_use: 0 }
    }

    /// The record in a slot that was ever used.
    pub(super) fn get(&self, id: Id) -> Option<&Record> {
        self.slots.get(id as usize)
    }

    /// Number of records.
    pub(super) const fn in_use(&self) -> usize {
        self.in_use
    }

    /// Number of records there can be at once without allocating.
    pub(super) const fn capacity(&self) -> usize {
        self.slots.capacity()
    }

    /// Whether there is no record for one more.
    pub(super) const fn is_full(&self) -> bool {
        self.in_use == self.slots.capacity()
    }

    /// Makes sure that there can be `total` records at once, and some more, so that not each needs memory. Copies what was
    /// ever used: the rest, which is much more, is not written to and so needs no memory on a system that maps on touch.
    pub(super) fn grow(&mut self, total: usize) -> Result<(), Error> {
        let mut slots = Vec::new();
        memory::try_reserve_exact(&mut slots, total + total / 8 + 16)?;
        slots.extend_from_slice(&self.slots);
        self.slots = slots;
        Ok(())
    }

    /// A slot for a new record. Room for it must have been made.
    #[inline]
    pub(super) fn insert(&mut self) -> Id {
        self.in_use += 1;
        match self.unused {
            NONE => self.insert_at_end(),
            id => {
                self.unused = self[id].chain;
                id
            }
        }
    }

    #[cold]
    fn insert_at_end(&mut self) -> Id {
        assert!(self.slots.len() < self.slots.capacity(), "I9: no room was reserved for a hole");
        self.slots.push(Record::new(0, 0, false));
        self.ids().end - 1
    }

    /// Gives a slot back.
    #[inline]
    pub(super) fn remove(&mut self, id: Id) {
        let chain = core::mem::replace(&mut self.unused, id);
        let record = &mut self[id];
        (record.len, record.chain) = (0, chain);
        self.in_use -= 1;
    }

    /// The numbers of all slots that were ever used.
    pub(super) fn ids(&self) -> core::ops::Range<Id> {
        0..Id::try_from(self.slots.len()).unwrap_or(NONE)
    }

    /// The records in use, in no order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Record> {
        self.slots.iter().filter(|record| record.len != 0)
    }

    /// Bytes of heap in use.
    pub(super) const fn heap_bytes(&self) -> usize {
        self.slots.capacity() * size_of::<Record>()
    }
}
