//! A page of the ledger: its words, and which of them have anything to say.
//!
//! One thread at a time writes a page, whoever holds the arena that manages it; any number read it. Positions are
//! relative to the page.

use once_cell::race::OnceBox;

use super::tags::Tags;
use super::word::{WORD, Word};
use crate::sync::{AtomicU32, AtomicU64, Ordering};
use crate::{Error, memory};

/// Quanta of a page, as a power of two. Fewer where tests and models want to see many pages.
pub(super) const PAGE_LOG2: u32 = if cfg!(any(test, loom)) { 7 } else { 15 };

pub(super) const WORDS: usize = (1_usize << PAGE_LOG2).div_ceil(WORD as usize);

/// What the ledger says about a page of quanta.
#[derive(Debug)]
pub(super) struct Page {
    words: [AtomicU64; WORDS],
    /// Bit `w` is set if something starts in word `w`. May be set when nothing does any more.
    used: [AtomicU64; WORDS.div_ceil(64)],
    /// The tag of plain ranges: that of the first live range there was, plus 1. 0 before.
    usual: AtomicU32,
    /// The entries of other ranges, once there was one.
    tags: OnceBox<[Tags; 1]>,
}

impl Default for Page {
    fn default() -> Self {
        Page {
            words: core::array::from_fn(|_| AtomicU64::new(0)),
            used: core::array::from_fn(|_| AtomicU64::new(0)),
            usual: AtomicU32::new(0),
            tags: OnceBox::new(),
        }
    }
}

/// The number of the word of a position, and the position in it.
#[inline]
pub(super) const fn split(at: u32) -> (usize, u32) {
    ((at / WORD) as usize, at % WORD)
}

/// The first position of a word.
const fn first(word: usize) -> u32 {
    #[expect(clippy::cast_possible_truncation, reason = "there are fewer words than quanta in a page")]
    let word = word as u32;
    word * WORD
}

impl Page {
    /// A word.
    #[inline]
    pub(super) fn word(&self, index: usize) -> Word {
        Word(self.words[index].load(Ordering::Acquire))
    }

    /// The tag of plain ranges, if there ever was a live range.
    #[inline]
    pub(super) fn usual_tag(&self) -> Option<u32> {
        self.usual.load(Ordering::Acquire).checked_sub(1)
    }

    /// Sets the tag of plain ranges for good.
    #[cold]
    pub(super) fn set_usual_tag(&self, tag: u32) {
        self.usual.store(tag + 1, Ordering::Release);
    }

    /// The entries of ranges that are not plain, if there ever were any.
    #[inline]
    pub(super) fn tags(&self) -> Option<&Tags> {
        self.tags.get().map(|[tags]| tags)
    }

    /// The same; made now if there were none.
    pub(super) fn tags_or_make(&self) -> Result<&Tags, Error> {
        let [tags] = self.tags.get_or_try_init(|| memory::try_box(Tags::new()?))?;
        Ok(tags)
    }

    /// Bytes of heap in use beside the page itself.
    pub(super) fn heap_bytes(&self) -> usize {
        self.tags().map_or(0, Tags::heap_bytes)
    }

    /// Replaces a word by one in which the same ranges start.
    #[inline]
    pub(super) fn store(&self, index: usize, word: Word) {
        self.words[index].store(word.0, Ordering::Release);
    }

    /// Changes a word by one store.
    #[inline]
    pub(super) fn update(&self, index: usize, change: impl FnOnce(Word) -> Word) {
        let old = self.word(index);
        let new = change(old);
        if old.is_empty() {
            self.set_used(index, true);
        }
        self.store(index, new);
        if new.is_empty() {
            self.set_used(index, false);
        }
    }

    #[cold]
    fn set_used(&self, index: usize, is_used: bool) {
        let bit = 1 << (index % 64);
        let used = &self.used[index / 64];
        let bits = used.load(Ordering::Relaxed);
        used.store(if is_used { bits | bit } else { bits & !bit }, Ordering::Release);
    }

    /// The last start before the word with number `end`, and the word that has it.
    pub(super) fn last_start_before(&self, end: usize) -> Option<(u32, Word)> {
        let mut end = end;
        while let Some(last) = end.checked_sub(1) {
            let bits = self.used[last / 64].load(Ordering::Acquire) & (u64::MAX >> (63 - last % 64));
            if bits == 0 {
                end = last / 64 * 64;
                continue;
            }
            let index = last / 64 * 64 + bits.ilog2() as usize;
            let word = self.word(index);
            if let Some(start) = word.last_start(WORD - 1) {
                return Some((first(index) + start, word));
            }
            end = index;
        }
        None
    }

    /// The first start in the words from number `from` on.
    pub(super) fn next_start_from(&self, from: usize) -> Option<u32> {
        let mut from = from;
        while from < WORDS {
            let bits = self.used[from / 64].load(Ordering::Acquire) & (u64::MAX << (from % 64));
            if bits == 0 {
                from = (from / 64 + 1) * 64;
                continue;
            }
            let index = from / 64 * 64 + bits.trailing_zeros() as usize;
            if let Some(start) = self.word(index).next_start(0) {
                return Some(first(index) + start);
            }
            from = index + 1;
        }
        None
    }
}
