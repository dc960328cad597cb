//! Where the records of holes live: numbered slots in pages that never move.
//!
//! A record is 20 bytes. Slots are handed out lowest first and reused last freed first, so the records in use stay
//! dense. A page that was reserved but not reached is not written to, and so costs address space and no memory on a
//! system that maps on first touch.

use alloc::{boxed::Box, vec::Vec};

use crate::{Error, memory};

/// Slots of a page. All of a page is written when its first slot is reached.
const PAGE: usize = 1024;

type Page = Box<[Record; PAGE]>;

/// Number of a slot; [`NONE`] ends a list.
pub(super) type Id = u32;

/// The end of a list.
pub(super) const NONE: Id = u32::MAX;

/// What is known about a hole.
#[derive(Debug, Clone, Copy)]
pub(super) struct Record {
    pub(super) start: u32,
    pub(super) len: u32,
    /// Neighbours in the list of holes of about this size.
    pub(super) size_prev: Id,
    pub(super) size_next: Id,
    /// Next hole that starts nearby; in an unused slot, the next unused one.
    pub(super) start_next: Id,
}

impl Record {
    pub(super) const fn end(&self) -> u32 {
        self.start + self.len
    }
}

/// The slots.
#[derive(Debug)]
pub(super) struct Nodes {
    pages: Vec<Page>,
    /// Pages that are reserved and not reached yet.
    fresh: Vec<Vec<Record>>,
    unused: Id,
    in_use: usize,
    reached: usize,
}

impl Default for Nodes {
    fn default() -> Self {
        Nodes { pages: Vec::new(), fresh: Vec::new(), unused: NONE, in_use: 0, reached: 0 }
    }
}

impl core::ops::Index<Id> for Nodes {
    type Output = Record;

    #[inline]
    fn index(&self, id: Id) -> &Record {
        &self.pages[id as usize / PAGE][id as usize % PAGE]
    }
}

impl core::ops::IndexMut<Id> for Nodes {
    #[inline]
    fn index_mut(&mut self, id: Id) -> &mut Record {
        &mut self.pages[id as usize / PAGE][id as usize % PAGE]
    }
}

impl Nodes {
    /// Number of records.
    pub(super) const fn in_use(&self) -> usize {
        self.in_use
    }

    /// Number of records there can be at once without allocating.
    #[inline]
    pub(super) const fn capacity(&self) -> usize {
        (self.pages.len() + self.fresh.len()) * PAGE
    }

    /// Makes sure that there can be `total` records at once. Grows by whole pages.
    #[inline]
    pub(super) fn reserve(&mut self, total: usize) -> Result<(), Error> {
        if total <= self.capacity() { Ok(()) } else { self.grow(total) }
    }

    #[cold]
    fn grow(&mut self, total: usize) -> Result<(), Error> {
        while self.capacity() < total {
            memory::try_reserve(&mut self.pages, self.fresh.len() + 1)?;
            memory::try_reserve(&mut self.fresh, 1)?;
            let mut page = Vec::new();
            memory::try_reserve(&mut page, PAGE)?;
            self.fresh.push(page);
        }
        Ok(())
    }

    /// A slot for a new record. Room for it must have been reserved.
    #[inline]
    pub(super) fn insert(&mut self, start: u32, len: u32) -> Id {
        let record = Record { start, len, size_prev: NONE, size_next: NONE, start_next: NONE };
        self.in_use += 1;
        if self.unused != NONE {
            let id = self.unused;
            self.unused = self[id].start_next;
            self[id] = record;
            return id;
        }
        if self.reached == self.pages.len() * PAGE {
            self.open_page();
        }
        #[expect(clippy::cast_possible_truncation, reason = "there are fewer records than quanta, which are below 2³¹")]
        let id = self.reached as Id;
        self.reached += 1;
        self[id] = record;
        id
    }

    /// Begins to use a page that was reserved.
    #[cold]
    fn open_page(&mut self) {
        let page = self.fresh.pop().and_then(|mut page| {
            page.resize(PAGE, Record { start: 0, len: 0, size_prev: NONE, size_next: NONE, start_next: NONE });
            Page::try_from(page.into_boxed_slice()).ok()
        });
        let Some(page) = page else { panic!("I9: no room was reserved for record number {}", self.reached) };
        self.pages.push(page);
    }

    /// Gives a slot back.
    #[inline]
    pub(super) fn remove(&mut self, id: Id) {
        self[id].start_next = self.unused;
        self.unused = id;
        self.in_use -= 1;
    }

    /// Bytes of the pages reached so far, and bytes reserved.
    pub(super) fn heap_bytes(&self) -> (usize, usize) {
        let table = self.pages.capacity() * size_of::<Page>() + self.fresh.capacity() * size_of::<Vec<Record>>();
        let page = PAGE * size_of::<Record>();
        (table + self.pages.len() * page, table + (self.pages.len() + self.fresh.len()) * page)
    }
}
