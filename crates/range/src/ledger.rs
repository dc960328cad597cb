//! The ledger: which ranges are live, written by arenas and read by anybody without a lock.
//!
//! A [`Word`] tells all about the *plain* live ranges that start in its 36 quanta, which are nearly all. The others (those
//! with another tag than is usual in their [`Page`], the very long ones, and the first of two that start in one pair of
//! quanta) have an [entry](tags). In either case a single load decides, so an answer is never a mixture of what was
//! there at two times. What is usual in a page is settled by its first range, for good.
//!
//! # Looking without a lock
//!
//! A range that is live during the whole of a look-up is found: nothing starts inside it, so the last start at or before
//! a position in it is its own. Any other answer was right at some time between the begin and the end of the look-up,
//! where a range counts as live from some time during the call that allocates it until some time during the one that
//! frees it. The number of steps is bounded whatever writers do.

mod changes;
mod directory;
mod page;
mod tags;
mod word;

use core::ops::Range;

use directory::Directory;
use page::{PAGE_LOG2, Page};
use word::Word;

use crate::Error;

/// Positions are 31-bit quantum numbers.
pub(crate) const MAX_QUANTA: u32 = 1 << 31;

/// Quanta of a page. Arenas that share a ledger must not share a page.
pub const PAGE_QUANTA: u64 = 1 << PAGE_LOG2;

/// Passes of a look-up before it gives up. The first finds what nobody touches; each further one is due to another cut
/// of the very range that is looked for.
const PASSES: usize = 64;

/// What was found at a position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The live range.
    pub range: Range<u64>,
    /// Its tag; 0 if it has none.
    pub tag: u32,
}

/// Which ranges of a coordinate space are live. Shared by the arenas that manage parts of it, and by those who look.
#[derive(Debug)]
pub struct Ledger {
    quantum_log2: u32,
    limit: u32,
    pages: Directory<Page>,
}

const fn page_of(at: u32) -> usize {
    (at >> PAGE_LOG2) as usize
}

/// The position relative to its page.
const fn in_page(at: u32) -> u32 {
    at % (1 << PAGE_LOG2)
}

/// The position relative to its word.
const fn in_word(at: u32) -> u32 {
    page::split(in_page(at)).1
}

#[expect(clippy::cast_possible_truncation, reason = "there are fewer pages than positions, which are below 2³¹")]
const fn first_of(page: usize) -> u32 {
    (page as u32) << PAGE_LOG2
}

impl Ledger {
    /// A ledger for positions below `limit`, cut into quanta of `1 << quantum_log2`.
    ///
    /// # Errors
    ///
    /// [`Error::TooLarge`] if there would be more than 2³¹ quanta or positions beyond 63 bits; [`Error::OutOfMemory`].
    pub fn new(quantum_log2: u32, limit: u64) -> Result<Self, Error> {
        if quantum_log2 > 32 {
            return Err(Error::TooLarge { value: u64::from(quantum_log2), limit: 33 });
        }
        let quanta = limit.div_ceil(1 << quantum_log2);
        let quanta = u32::try_from(quanta).ok().filter(|&quanta| quanta <= MAX_QUANTA);
        let quanta = quanta.ok_or(Error::TooLarge { value: limit, limit: u64::from(MAX_QUANTA) << quantum_log2 })?;
        let pages = (quanta as usize).div_ceil(1 << PAGE_LOG2);
        Ok(Ledger { quantum_log2, limit: quanta, pages: Directory::new(pages)? })
    }

    /// The largest ledger with quanta of `1 << quantum_log2`.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub fn largest(quantum_log2: u32) -> Result<Self, Error> {
        Ledger::new(quantum_log2, u64::from(MAX_QUANTA) << quantum_log2.min(32))
    }

    /// Which live range holds a position. Takes no lock, never waits, and may run at any time beside an arena's work,
    /// in a signal or exception handler too.
    #[must_use]
    #[inline]
    pub fn find(&self, position: u64) -> Option<Found> {
        let at = position >> self.quantum_log2;
        if at >= u64::from(self.limit) {
            return None;
        }
        #[expect(clippy::cast_possible_truncation, reason = "it is below the limit")]
        let at = at as u32;
        let (start, len, tag) = match self.told_by_word(at) {
            Some(found) => found,
            None => self.told_at_all(at)?,
        };
        let (start, end) = (u64::from(start), u64::from(start) + u64::from(len));
        Some(Found { range: start << self.quantum_log2..end << self.quantum_log2, tag })
    }

    /// Start, length and tag of the live range that holds a position, if its word alone tells, as most do.
    ///
    /// Tried and dropped: starts that bring their page, so that the general way walks once as well (an eighth to a third
    /// more a look-up).
    #[inline]
    fn told_by_word(&self, at: u32) -> Option<(u32, u32, u32)> {
        let page = self.page(at)?;
        let (index, in_word) = page::split(in_page(at));
        let word = page.word(index);
        let start = word.last_start(in_word)?;
        let len = word.live_len(start)?;
        if in_word - start < len { Some((at - in_word + start, len, page.usual_tag()?)) } else { None }
    }

    /// The same for any live range.
    #[inline(never)]
    fn told_at_all(&self, at: u32) -> Option<(u32, u32, u32)> {
        let mut seen = None;
        for _ in 0..PASSES {
            let last = self.last_start(at)?;
            if let Some((len, tag)) = self.decide(last)
                && at - last.0 < len
            {
                return Some((last.0, len, tag));
            }
            // Nothing live is there, or it was being cut meanwhile: then the word has changed.
            if seen.replace(last) == Some(last) {
                return None;
            }
        }
        None
    }

    pub(crate) const fn quantum_log2(&self) -> u32 {
        self.quantum_log2
    }

    /// First quantum that does not exist.
    pub(crate) const fn limit(&self) -> u32 {
        self.limit
    }

    #[inline]
    fn page(&self, at: u32) -> Option<&Page> {
        self.pages.get(page_of(at))
    }

    #[inline]
    fn word(&self, at: u32) -> Word {
        self.page(at).map_or(Word::EMPTY, |page| page.word(page::split(in_page(at)).0))
    }

    /// Length and tag of a range, given its start and a word that has it. `None` if it is not live.
    #[inline]
    fn decide(&self, (start, word): (u32, Word)) -> Option<(u32, u32)> {
        let page = self.page(start)?;
        match word.live_len(in_word(start)) {
            Some(len) => Some((len, page.usual_tag()?)),
            None => page.tags()?.get(in_page(start)).map(|entry| (entry.len, entry.tag)),
        }
    }

    /// The last start of a range, of any state, at or before a position, and the word that has it.
    #[inline]
    fn last_start(&self, at: u32) -> Option<(u32, Word)> {
        let word = self.word(at);
        match word.last_start(in_word(at)) {
            Some(start) => Some((at - in_word(at) + start, word)),
            None => self.last_start_before(at),
        }
    }

    /// The same where the word of the position has none.
    fn last_start_before(&self, at: u32) -> Option<(u32, Word)> {
        let (mut number, mut end) = (page_of(at), page::split(in_page(at)).0);
        loop {
            let (found, page) = self.pages.last_made(number)?;
            if found != number {
                end = page::WORDS;
            }
            if let Some((start, word)) = page.last_start_before(end) {
                return Some((first_of(found) + start, word));
            }
            (number, end) = (found.checked_sub(1)?, page::WORDS);
        }
    }

    /// Bytes of bookkeeping in use.
    #[must_use]
    pub fn bookkeeping_bytes(&self) -> usize {
        let pages: usize = self.pages.iter().map(|page| size_of::<Page>() + page.heap_bytes()).sum();
        self.pages.heap_bytes() + pages
    }
}
