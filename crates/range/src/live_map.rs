//! The live map: which ranges are live, written by arenas and read by any thread without a lock.
//!
//! A [`Word`](word) tells all about the *inline* live ranges that start in its 32 quanta, which are nearly all. The others
//! (those with another tag than the common one of their [`Page`], the very long ones, and the first of two that start in
//! one pair of quanta) have an [entry](entries). In either case a single load decides, so an answer is never a mixture
//! of what was there at two times.
//!
//! # Looking without a lock
//!
//! A range that is live during the whole of a look-up is found: nothing starts inside it, so the last start at or before
//! a position in it is its own. Any other answer was right at some time between the begin and the end of the look-up,
//! where a range counts as live from some time during the call that allocates it until some time during the one that
//! frees it. The number of steps is bounded whatever writers do.

mod entries;
mod page;
mod sparse_table;
mod word;

use core::ops::Range;

use page::{PAGE_LOG2, in_word, number};
use sparse_table::SparseTable;
use word::Word;

pub(crate) use page::Page;

use crate::Error;
use crate::sync::{Ordering, WriterCell};

/// Positions are 31-bit quantum numbers.
pub(crate) const MAX_QUANTA: u32 = (1 << 31) - 1;

pub use entries::TAG_BITS;

/// Quanta of a page. Arenas that share a live map must not share a page.
pub const PAGE_QUANTA: u64 = 1 << PAGE_LOG2;

/// Passes of a look-up before it gives up. The first finds what no thread changes; each further one is due to another cut
/// of the very range that is looked for.
const PASSES: usize = 64;

/// What was found at a position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The live range.
    pub range: Range<u64>,
    /// Its tag.
    pub tag: u32,
}

/// Which ranges of a coordinate space are live. Shared by the arenas that manage parts of it, and by readers.
#[derive(Debug)]
pub struct LiveMap {
    quantum_log2: u32,
    limit: u32,
    pages: SparseTable<Page>,
    /// Arenas there ever were: their numbers tell them apart.
    arenas: WriterCell,
}

/// Where a range of any state starts, and the word that says so.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Start<'a> {
    pub(crate) page: &'a Page,
    pub(crate) at: u32,
    word: Word,
}

impl Start<'_> {
    /// Length and tag of the range, if it is live.
    pub(crate) fn live(&self) -> Option<(u32, u32)> {
        match self.word.live_len(in_word(self.at)) {
            Some(len) => Some((len, self.page.common_tag())),
            None => self.page.entry(self.at),
        }
    }
}

const fn page_of(at: u32) -> usize {
    (at >> PAGE_LOG2) as usize
}

#[expect(clippy::cast_possible_truncation, reason = "there are fewer pages than quanta")]
const fn first_of(page: usize) -> u32 {
    (page as u32) << PAGE_LOG2
}

/// Whether a start must tell where managed space ends: the last range of it may not be the last one of its word.
pub(crate) const fn needs_mark(end: u32) -> bool {
    in_word(end) != 0
}

/// Whether two positions are in one page.
pub(crate) const fn share_page(one: u32, other: u32) -> bool {
    (one ^ other) >> PAGE_LOG2 == 0
}

impl LiveMap {
    /// A live map of positions below `limit`, cut into quanta of `1 << quantum_log2`. Takes 8 bytes for 2²³ quanta before
    /// there are any ranges.
    ///
    /// # Errors
    ///
    /// [`Error::TooLarge`] if there would be 2³¹ quanta or more, or positions beyond 63 bits; [`Error::OutOfMemory`].
    pub fn new(quantum_log2: u32, limit: u64) -> Result<Self, Error> {
        let quanta = 1_u64.checked_shl(quantum_log2).and_then(|quantum| u32::try_from(limit.div_ceil(quantum)).ok());
        let limit =
            quanta.filter(|quanta| *quanta <= MAX_QUANTA && quantum_log2 <= 32).ok_or(Error::TooLarge(limit))?;
        let pages = SparseTable::new(page_of(limit) + 1)?;
        Ok(LiveMap { quantum_log2, limit, pages, arenas: WriterCell::new(0) })
    }

    /// The live range that holds a position. Takes no lock, never waits, and may run at any time beside an arena's work,
    /// in a signal or exception handler too.
    #[must_use]
    #[inline]
    pub fn find(&self, position: u64) -> Option<Found> {
        let at = position >> self.quantum_log2;
        let page = usize::try_from(at >> PAGE_LOG2).ok().and_then(|number| self.pages.get(number));
        #[expect(clippy::cast_possible_truncation, reason = "what lies beyond has no page, and is looked at")]
        let (start, len, tag) = match page.and_then(|page| page.told_by_word(at as u32)) {
            Some(found) => found,
            None => self.told_at_all(at)?,
        };
        let (start, end) = (u64::from(start), u64::from(start) + u64::from(len));
        Some(Found { range: start << self.quantum_log2..end << self.quantum_log2, tag })
    }

    /// Start, length and tag of any live range that holds a position.
    #[inline(never)]
    fn told_at_all(&self, at: u64) -> Option<(u32, u32, u32)> {
        let at = u32::try_from(at).ok().filter(|at| *at < self.limit)?;
        let mut seen = None;
        for _ in 0..PASSES {
            let start = self.last_start(at)?;
            if let Some((len, tag)) = start.live()
                && at - start.at < len
            {
                return Some((start.at, len, tag));
            }
            // Nothing live is there, or it was being cut meanwhile: then the word has changed.
            if seen.replace((start.at, start.word)) == Some((start.at, start.word)) {
                return None;
            }
        }
        None
    }

    /// The last start at or before a position.
    fn last_start(&self, at: u32) -> Option<Start<'_>> {
        let page = self.pages.get(page_of(at));
        page.and_then(|page| page.last_start_in_word(at)).or_else(|| self.start_before_word(at))
    }

    /// The last start before the word of a position.
    fn start_before_word(&self, at: u32) -> Option<Start<'_>> {
        let (mut number, mut end) = (page_of(at), number(at));
        loop {
            let (found, page) = self.pages.last_marked(number)?;
            if found != number {
                end = u32::MAX;
            }
            if let Some((start, word)) = page.last_start_before(end) {
                return Some(Start { page, at: first_of(found) + start, word });
            }
            (number, end) = (found.checked_sub(1)?, u32::MAX);
        }
    }

    pub(crate) const fn quantum_log2(&self) -> u32 {
        self.quantum_log2
    }

    /// First quantum that does not exist.
    pub(crate) const fn limit(&self) -> u32 {
        self.limit
    }

    /// Bytes of bookkeeping in use, and how many of them are of pages in which nothing starts any more. Those are used
    /// again for ranges in the same place, and stay because a reader may be in them.
    #[must_use]
    pub fn bookkeeping_bytes(&self) -> (usize, usize) {
        let bytes =
            |is_counted: fn(&&Page) -> bool| self.pages.made().filter(is_counted).map(Page::bytes).sum::<usize>();
        (self.pages.heap_bytes() + bytes(|_| true), bytes(|page| page.is_unused()))
    }

    /// Gives back the pages of each 2²³ quanta of which none is managed any more. No reader is there: the map is exclusive.
    pub fn trim(&mut self) {
        self.pages.drop_unmarked();
    }

    /// A number for a new arena.
    pub(crate) fn number_arena(&self) -> u32 {
        self.arenas.fetch_add(1, Ordering::Relaxed).wrapping_add(1)
    }
}

/// The pages of a live map that one arena writes: one's as long as anything of it starts there. What another arena wrote is
/// never read here, because the records of its holes are that arena's.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Part<'m> {
    map: &'m LiveMap,
    arena: u32,
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
