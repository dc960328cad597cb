//! What arenas do with the ledger: they read what is around a position, make room for changes, and change it.

use core::ops::Range;

use super::page::{self, Page};
use super::tags::{Entry, TAG_BITS};
use super::word::{self, Word};
use super::{Ledger, first_of, in_page, in_word, page_of};
use crate::Error;

impl Ledger {
    /// Makes sure that a range can start at a position without allocating.
    #[inline]
    pub(crate) fn reserve(&self, at: u32) -> Result<(), Error> {
        if self.page(at).is_some() { Ok(()) } else { self.page_or_make(at).map(drop) }
    }

    #[cold]
    fn page_or_make(&self, at: u32) -> Result<&Page, Error> {
        self.pages.get_or_make(page_of(at))
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
        self.page_or_make(start)?.tags_or_make()?.reserve(in_page(start), others)
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
            self.enter_entry(start, end - start, tag);
        }
    }

    /// The same for a range that a word cannot tell about.
    #[cold]
    fn enter_entry(&self, start: u32, len: u32, tag: u32) {
        self.put(start, len, tag);
        self.add_start(start);
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
            None => page.tags()?.remove(in_page(start))?.len,
        };
        Some(start + len)
    }

    fn remove_entry(&self, start: u32) {
        self.page(start).and_then(Page::tags).and_then(|tags| tags.remove(in_page(start)));
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
        let Some(tags) = self.page(start).and_then(Page::tags) else {
            panic!("I9: no room was reserved for an entry at quantum {start}");
        };
        tags.put(Entry { start: in_page(start), len, tag });
    }
}
