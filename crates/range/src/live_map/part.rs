//! The pages of a live map that one arena writes.
//!
//! A page is one arena's as long as anything starts in it. What another arena wrote is never read here, because the
//! records of its holes are that arena's.

use core::ops::Range;

use super::{LiveMap, Page, Start, first_of, page_of, share_page};
use crate::Error;
use crate::sync::Ordering;

/// A live map, and the number of the arena.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Part<'m> {
    map: &'m LiveMap,
    arena: u32,
}

impl LiveMap {
    /// A number for a new arena.
    pub(crate) fn number_arena(&self) -> u32 {
        self.arenas.fetch_add(1, Ordering::Relaxed).wrapping_add(1)
    }
}

impl<'m> Part<'m> {
    /// The part of an arena.
    #[inline]
    pub(crate) const fn new(map: &'m LiveMap, arena: u32) -> Self {
        Part { map, arena }
    }

    /// The page of a position, if it is of this arena.
    #[inline]
    pub(crate) fn page(self, at: u32) -> Option<&'m Page> {
        self.map.pages.get(page_of(at)).filter(|page| page.is_of(self.arena))
    }

    /// The same, given the page of another position.
    #[inline]
    pub(crate) fn page_near(self, page: &'m Page, of: u32, at: u32) -> Option<&'m Page> {
        if share_page(of, at) { Some(page) } else { self.page(at) }
    }

    /// The page of a position, in which something of this arena can start now. Made if there was none.
    ///
    /// # Errors
    ///
    /// [`Error::SharedPage`] if something of another arena starts in it; [`Error::OutOfMemory`].
    #[inline]
    pub(crate) fn claim(self, at: u32) -> Result<&'m Page, Error> {
        match self.page(at) {
            Some(page) => Ok(page),
            None => self.claim_other(at),
        }
    }

    #[cold]
    fn claim_other(self, at: u32) -> Result<&'m Page, Error> {
        let page = self.map.pages.get_or_make(page_of(at))?;
        if !page.claim(self.arena) {
            return Err(Error::SharedPage(u64::from(at) << self.map.quantum_log2));
        }
        self.map.pages.mark(page_of(at), true);
        Ok(page)
    }

    /// Leaves the pages of a range of quanta to other arenas, except those in which something still starts.
    pub(crate) fn leave(self, quanta: Range<u32>) {
        for (number, page) in self.own_pages(quanta).filter(|(_, page)| page.is_unused()) {
            page.claim(0);
            self.map.pages.mark(number, false);
        }
    }

    /// The pages of this arena that overlap a range of quanta, and their numbers.
    fn own_pages(self, quanta: Range<u32>) -> impl Iterator<Item = (usize, &'m Page)> {
        let last = page_of(quanta.end.saturating_sub(1));
        let marked = self.map.pages.marked_from(page_of(quanta.start)).take_while(move |(number, _)| *number <= last);
        marked.filter(move |(_, page)| page.is_of(self.arena))
    }

    /// The start at a position.
    pub(crate) fn start_at(self, at: u32) -> Option<Start<'m>> {
        self.page(at)?.start_at(at)
    }

    /// The last start at or before a position.
    pub(crate) fn last_start(self, at: u32) -> Option<Start<'m>> {
        self.map.last_start(at).filter(|start| start.page.is_of(self.arena))
    }

    /// Everything that starts in a range of quanta, in order.
    pub(crate) fn starts_in(self, quanta: Range<u32>) -> impl Iterator<Item = Start<'m>> {
        let starts = self.own_pages(quanta.clone()).flat_map(|(number, page)| page.starts(first_of(number)));
        starts.filter(move |start| quanta.contains(&start.at))
    }
}
