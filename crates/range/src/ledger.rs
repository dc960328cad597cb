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

mod directory;
mod page;
mod tags;
mod word;

use core::ops::Range;

use directory::Directory;
use page::{PAGE_LOG2, Page};
use tags::{Entry, Tags};
use word::Word;

pub(crate) use tags::TAG_BITS;

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
    tags: Directory<Tags>,
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
        Ok(Ledger { quantum_log2, limit: quanta, pages: Directory::new(pages)?, tags: Directory::new(pages)? })
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
        let at = u32::try_from(position >> self.quantum_log2).ok().filter(|&at| at < self.limit)?;
        let mut seen = None;
        for _ in 0..PASSES {
            let last = self.last_start(at)?;
            if let Some((len, tag)) = self.decide(last)
                && at - last.0 < len
            {
                let (start, end) = (u64::from(last.0), u64::from(last.0) + u64::from(len));
                return Some(Found { range: start << self.quantum_log2..end << self.quantum_log2, tag });
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
        match word.live_len(in_word(start)) {
            Some(len) => Some((len, self.page(start)?.usual_tag()?)),
            None => self.tags.get(page_of(start))?.get(in_page(start)).map(|entry| (entry.len, entry.tag)),
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
}

/// For arenas: reading and writing what they manage.
impl Ledger {
    /// Makes sure that a range can start at a position without allocating.
    #[inline]
    pub(crate) fn reserve(&self, at: u32) -> Result<(), Error> {
        if self.page(at).is_some() {
            return Ok(());
        }
        self.pages.get_or_make(page_of(at), || Ok(Page::default())).map(drop)
    }

    /// Whether two positions lie in one page: then [reserving](Self::reserve) one reserves the other.
    #[inline]
    pub(crate) const fn share_page(one: u32, other: u32) -> bool {
        page_of(one) == page_of(other)
    }

    /// Makes sure that a live range can be [entered](Self::enter), or [shortened](Self::shorten) to this, without
    /// allocating. One start at its position must have been [reserved](Self::reserve).
    ///
    /// # Errors
    ///
    /// [`Error::BadTag`], [`Error::OutOfMemory`].
    #[inline]
    pub(crate) fn reserve_live(&self, start: u32, len: u32, tag: u32) -> Result<(), Error> {
        let is_usual = self.page(start).and_then(Page::usual_tag).is_none_or(|usual| usual == tag);
        if is_usual && tag >> TAG_BITS == 0 && word::is_plain(in_word(start), len) {
            return Ok(());
        }
        self.reserve_entry(start, tag, 0)
    }

    /// Makes sure that a live range can be [split](Self::split) without allocating.
    pub(crate) fn reserve_split(&self, start: u32, cut: u32) -> Result<(), Error> {
        self.reserve_entry(start, 0, 0)?;
        self.reserve_entry(cut, 0, 1)
    }

    /// Makes sure that a range can have an entry, even after some others got one.
    fn reserve_entry(&self, start: u32, tag: u32, others: usize) -> Result<(), Error> {
        if tag >> TAG_BITS != 0 {
            return Err(Error::BadTag { tag, bits: TAG_BITS });
        }
        self.tags.get_or_make(page_of(start), Tags::new)?.reserve(in_page(start), others)
    }

    /// Whether a range starts at a position that is not a live plain one.
    #[inline]
    pub(crate) fn has_other_start(&self, at: u32) -> bool {
        let word = self.word(at);
        word.has_start(in_word(at)) && !word.is_live(in_word(at))
    }

    /// End and tag of the live range that starts at a position.
    #[inline]
    pub(crate) fn live_at(&self, at: u32) -> Option<(u32, u32)> {
        let word = self.word(at);
        let decided = if word.has_start(in_word(at)) { self.decide((at, word)) } else { None };
        decided.map(|(len, tag)| (at + len, tag))
    }

    /// The last start at or before a position, if the range there is not a live plain one.
    #[inline]
    pub(crate) fn last_other_start(&self, at: u32) -> Option<u32> {
        self.last_start(at).filter(|&(start, word)| !word.is_live(in_word(start))).map(|(start, _)| start)
    }

    /// The first start at or after a position.
    pub(crate) fn next_start(&self, at: u32) -> Option<u32> {
        if let Some(start) = self.word(at).next_start(in_word(at)) {
            return Some(at - in_word(at) + start);
        }
        let (mut number, mut from) = (page_of(at), page::split(in_page(at)).0 + 1);
        loop {
            let (found, page) = self.pages.next_made(number)?;
            if found != number {
                from = 0;
            }
            if let Some(start) = page.next_start_from(from) {
                return Some(first_of(found) + start);
            }
            (number, from) = (found + 1, 0);
        }
    }

    /// The page of a position where room was [reserved](Self::reserve).
    #[inline]
    fn reserved(&self, at: u32) -> &Page {
        let Some(page) = self.page(at) else { panic!("I9: no room was reserved at quantum {at}") };
        page
    }

    #[inline]
    fn update(&self, at: u32, change: impl FnOnce(Word, u32) -> Word) {
        let (index, in_word) = page::split(in_page(at));
        self.reserved(at).update(index, |word| change(word, in_word));
    }

    /// A range that is not live starts at a position.
    #[inline]
    pub(crate) fn add_start(&self, at: u32) {
        self.update(at, Word::with_start);
    }

    /// Where managed space ends inside a word, a start tells where the last range of it does.
    pub(crate) const fn needs_mark(end: u32) -> bool {
        in_word(end) != 0
    }

    /// No range starts at a position any more. None that is live may.
    #[inline]
    pub(crate) fn remove_start(&self, at: u32) {
        self.update(at, Word::without_start);
    }

    /// A range becomes live. What follows it in its word must have its start already.
    #[inline]
    pub(crate) fn enter(&self, range: Range<u32>, tag: u32) {
        let Range { start, end } = range;
        let page = self.reserved(start);
        let usual = page.usual_tag();
        if usual.is_none() {
            page.set_usual_tag(tag);
        }
        let (index, at) = page::split(in_page(start));
        if usual.is_none_or(|usual| usual == tag) && word::is_plain(at, end - start) {
            page.update(index, |word| word.with_live(at, end - start));
        } else {
            self.put(start, end - start, tag);
            self.add_start(start);
        }
    }

    /// The live range that starts at a position is no longer live. Its start stays. Returns its end, or `None` if there
    /// is none.
    #[inline]
    pub(crate) fn leave(&self, start: u32) -> Option<u32> {
        let page = self.page(start)?;
        let (index, at) = page::split(in_page(start));
        let word = page.word(index);
        if !word.has_start(at) {
            return None;
        }
        let len = match word.live_len(at) {
            Some(len) => {
                page.store(index, word.without_live(at));
                len
            }
            None => self.tags.get(page_of(start))?.remove(in_page(start))?.len,
        };
        Some(start + len)
    }

    fn remove_entry(&self, start: u32) {
        self.tags.get(page_of(start)).and_then(|tags| tags.remove(in_page(start)));
    }

    /// A live range ends at `cut` now, and a range that is not live starts there. There must be room for both.
    pub(crate) fn shorten(&self, start: u32, cut: u32, tag: u32) {
        let was_plain = self.word(start).is_live(in_word(start));
        if was_plain && self.is_plain(start, cut - start, tag) {
            self.add_start(cut);
            self.update(start, |word, at| word.with_live(at, cut - start));
            return;
        }
        self.put(start, cut - start, tag);
        if was_plain {
            self.update(start, Word::without_live);
        }
        self.add_start(cut);
    }

    /// A live range becomes two. There must be room for both, and for an entry of each.
    ///
    /// What a word says of a plain range cannot change in one step, so meanwhile an entry stands for it.
    pub(crate) fn split(&self, range: Range<u32>, cut: u32, tag: u32) {
        let Range { start, end } = range;
        self.put(start, end - start, tag);
        self.update(start, Word::without_live);
        self.enter(cut..end, tag);
        self.put(start, cut - start, tag);
        if self.is_plain(start, cut - start, tag) {
            self.enter(start..cut, tag);
            self.remove_entry(start);
        }
    }

    /// Whether a word can tell about a live range.
    #[inline]
    fn is_plain(&self, start: u32, len: u32, tag: u32) -> bool {
        let usual = self.page(start).and_then(Page::usual_tag);
        usual == Some(tag) && word::is_plain(in_word(start), len)
    }

    fn put(&self, start: u32, len: u32, tag: u32) {
        let Some(tags) = self.tags.get(page_of(start)) else {
            panic!("I9: no room was reserved for an entry at quantum {start}");
        };
        tags.put(Entry { start: in_page(start), len, tag });
    }

    /// Bytes of bookkeeping in use.
    #[must_use]
    pub fn bookkeeping_bytes(&self) -> usize {
        let tags: usize = self.tags.iter().map(Tags::heap_bytes).sum();
        self.pages.iter().count() * size_of::<Page>() + self.pages.heap_bytes() + self.tags.heap_bytes() + tags
    }
}
