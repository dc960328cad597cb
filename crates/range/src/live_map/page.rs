//! A page of the live map: its words, and what the arena that writes it keeps beside them.
//!
//! One arena at a time writes a page, any number of threads read it. Positions are absolute; their low bits count.

use once_cell::race::OnceBox;

use super::Start;
use super::entries::{Entries, Entry, TAG_BITS};
use super::word::{WORD, Word, is_inline};
use crate::holes::NONE;
use crate::sync::{AtomicU32, AtomicU64, Ordering, WriterCell};
use crate::{Error, memory};

/// Quanta of a page, as a power of two: a page has less than 1 KiB, so that little memory is kept for a small arena.
/// Fewer where tests and models want to see many pages.
pub(super) const PAGE_LOG2: u32 = if cfg!(any(test, loom)) { 7 } else { 11 };

const WORDS: u32 = 1 << (PAGE_LOG2 - WORD.ilog2());
const _: () = assert!(WORDS <= u64::BITS, "a bit of `used` for each word");

/// Quanta of a bucket of holes, as a power of two. A quarter as many find holes no faster.
const BUCKET_LOG2: u32 = if cfg!(any(test, loom)) { 6 } else { 8 };
const BUCKETS: usize = 1 << (PAGE_LOG2 - BUCKET_LOG2);

/// What the live map knows about a page of quanta.
#[derive(Debug)]
pub(crate) struct Page {
    words: [AtomicU64; WORDS as usize],
    /// Bit `i`: something starts in word `i`. A reader may see the bit before or after the word.
    used: AtomicU64,
    /// The tag of all inline ranges, plus 1. It is that of the first live range there was, and never changes, because a
    /// reader loads it after the word. 0 before.
    common_tag: AtomicU32,
    /// The live ranges that are not inline, once there was one.
    entries: OnceBox<[Entries; 1]>,
    /// The arena that writes the page as long as anything starts in it.
    owner: WriterCell,
    /// First hole of each bucket. Here because whatever is done with a hole needs its word as well.
    buckets: [WriterCell; BUCKETS],
}

impl Default for Page {
    fn default() -> Self {
        Page {
            words: core::array::from_fn(|_| AtomicU64::new(0)),
            used: AtomicU64::new(0),
            common_tag: AtomicU32::new(0),
            entries: OnceBox::new(),
            owner: WriterCell::new(0),
            buckets: core::array::from_fn(|_| WriterCell::new(NONE)),
        }
    }
}

const fn in_page(at: u32) -> u32 {
    at % (1 << PAGE_LOG2)
}

pub(super) const fn in_word(at: u32) -> u32 {
    at % WORD
}

/// The number of the word of a position.
pub(super) const fn number(at: u32) -> u32 {
    in_page(at) / WORD
}

/// Reading, by any thread.
impl Page {
    #[inline]
    fn word(&self, at: u32) -> Word {
        Word(self.words[number(at) as usize].load(Ordering::Acquire))
    }

    /// The tag of inline ranges. Not of interest before there is one.
    #[inline]
    pub(super) fn common_tag(&self) -> u32 {
        self.common_tag.load(Ordering::Acquire).wrapping_sub(1)
    }

    /// Length and tag of the live range that starts at a position and is not inline.
    pub(super) fn entry(&self, at: u32) -> Option<(u32, u32)> {
        let [entries] = self.entries.get()?;
        entries.get(in_page(at)).map(|entry| (entry.len, entry.tag))
    }

    /// Start, length and tag of the live range that holds a position, if its word alone tells, as most do.
    #[inline]
    pub(super) fn told_by_word(&self, at: u32) -> Option<(u32, u32, u32)> {
        let word = self.word(at);
        let start = word.last_start_before(in_word(at) + 1)?;
        let (len, before) = (word.live_len(start)?, in_word(at) - start);
        if before < len { Some((at - before, len, self.common_tag())) } else { None }
    }

    /// The last start at or before a position in its word.
    #[inline]
    pub(super) fn last_start_in_word(&self, at: u32) -> Option<Start<'_>> {
        let word = self.word(at);
        let start = word.last_start_before(in_word(at) + 1)?;
        Some(Start { page: self, at: at - in_word(at) + start, word })
    }

    /// The last start in the words with numbers below `end`, relative to the page, and the word that has it.
    pub(super) fn last_start_before(&self, end: u32) -> Option<(u32, Word)> {
        let mut bits = self.used.load(Ordering::Acquire) & 1_u64.unbounded_shl(end).wrapping_sub(1);
        while bits != 0 {
            let index = bits.ilog2();
            let word = self.word(index * WORD);
            if let Some(start) = word.last_start_before(WORD) {
                return Some((index * WORD + start, word));
            }
            bits &= !(1 << index);
        }
        None
    }

    /// The start at a position.
    pub(super) fn start_at(&self, at: u32) -> Option<Start<'_>> {
        let word = self.word(at);
        word.has_start(in_word(at)).then_some(Start { page: self, at, word })
    }

    /// Everything that starts in this page, which begins at `first`, in order.
    pub(super) fn starts(&self, first: u32) -> impl Iterator<Item = Start<'_>> {
        let used = (first..).step_by(WORD as usize).take(WORDS as usize).filter(|at| !self.word(*at).is_empty());
        used.flat_map(|word| (word..word + WORD).filter_map(|at| self.start_at(at)))
    }

    /// Whether nothing starts in the page.
    pub(super) fn is_unused(&self) -> bool {
        self.used.load(Ordering::Acquire) == 0
    }

    /// Bytes of heap in use.
    pub(super) fn bytes(&self) -> usize {
        size_of::<Page>() + self.entries.get().map_or(0, |[entries]| entries.heap_bytes())
    }
}

/// Writing, by one arena. Room for changes is made before they are.
impl Page {
    /// Whether an arena writes the page.
    #[inline]
    pub(super) fn is_of(&self, arena: u32) -> bool {
        self.owner.load(Ordering::Relaxed) == arena
    }

    /// Makes an arena the writer of the page, unless something of another one starts in it.
    pub(super) fn claim(&self, arena: u32) -> bool {
        if self.is_unused() {
            self.owner.store(arena, Ordering::Relaxed);
        }
        self.is_of(arena)
    }

    /// A word, for the arena that writes it: it sees its own stores.
    #[inline]
    fn own_word(&self, at: u32) -> Word {
        Word(self.words[number(at) as usize].load(Ordering::Relaxed))
    }

    #[inline]
    fn store(&self, at: u32, word: Word) {
        self.words[number(at) as usize].store(word.0, Ordering::Release);
    }

    /// Whether something starts at a position that is not live and inline.
    #[inline]
    pub(crate) fn has_other_start(&self, at: u32) -> bool {
        let word = self.own_word(at);
        word.has_start(in_word(at)) && !word.is_live(in_word(at))
    }

    /// The last start in the page before a position of it.
    #[inline]
    pub(crate) fn own_start_before(&self, at: u32) -> Option<u32> {
        if let Some(start) = self.own_word(at).last_start_before(in_word(at)) {
            return Some(at - in_word(at) + start);
        }
        let index = (self.used.load(Ordering::Relaxed) & ((1 << number(at)) - 1)).checked_ilog2()?;
        let first = at - in_page(at) + index * WORD;
        self.own_word(first).last_start_before(WORD).map(|start| first + start)
    }

    /// The first hole of the bucket of a position.
    #[inline]
    pub(crate) fn first_hole(&self, at: u32) -> u32 {
        self.buckets[in_page(at) as usize >> BUCKET_LOG2].load(Ordering::Relaxed)
    }

    #[inline]
    pub(crate) fn set_first_hole(&self, at: u32, id: u32) {
        self.buckets[in_page(at) as usize >> BUCKET_LOG2].store(id, Ordering::Relaxed);
    }

    /// Whether two positions are in one bucket.
    pub(crate) const fn share_bucket(one: u32, other: u32) -> bool {
        (one ^ other) >> BUCKET_LOG2 == 0
    }

    /// Makes sure that a live range can be [entered](Self::enter), and returns whether it will be inline.
    #[inline]
    pub(crate) fn reserve(&self, at: u32, len: u32, tag: u32) -> Result<bool, Error> {
        if self.holds_inline(at, len, tag) { Ok(true) } else { self.reserve_other(at, len, tag) }
    }

    #[cold]
    fn reserve_other(&self, at: u32, len: u32, tag: u32) -> Result<bool, Error> {
        if tag >> TAG_BITS != 0 {
            return Err(Error::BadTag(tag));
        }
        self.settle_common_tag(tag);
        if self.holds_inline(at, len, tag) { Ok(true) } else { self.reserve_entry(at, 0).map(|()| false) }
    }

    fn settle_common_tag(&self, tag: u32) {
        if self.common_tag.load(Ordering::Relaxed) == 0 {
            self.common_tag.store(tag + 1, Ordering::Release);
        }
    }

    /// Makes sure that a range can have an entry, even after some others got one.
    fn reserve_entry(&self, at: u32, others: usize) -> Result<(), Error> {
        let [entries] = self.entries.get_or_try_init(|| memory::try_box(Entries::new()?))?;
        entries.reserve(in_page(at), others)
    }

    #[inline]
    fn holds_inline(&self, at: u32, len: u32, tag: u32) -> bool {
        u64::from(self.common_tag.load(Ordering::Relaxed)) == u64::from(tag) + 1 && is_inline(in_word(at), len)
    }

    /// A range that has its start becomes live. The start that follows it in its word is there already.
    #[inline]
    pub(crate) fn enter(&self, at: u32, len: u32, tag: u32, is_inline: bool) {
        match is_inline {
            true => self.store(at, self.own_word(at).with_live(in_word(at), len)),
            false => self.put(at, len, tag),
        }
    }

    #[cold]
    fn put(&self, at: u32, len: u32, tag: u32) {
        let Some([entries]) = self.entries.get() else { panic!("I9: no room was reserved for an entry at {at}") };
        entries.put(Entry { start: in_page(at), len, tag });
    }

    /// The live range that starts at a position is no longer live. Its start stays. Returns its length, or `None` if there
    /// is none.
    #[inline]
    pub(crate) fn leave(&self, at: u32) -> Option<u32> {
        let word = self.own_word(at);
        if !word.has_start(in_word(at)) {
            return None;
        }
        let Some(len) = word.live_len(in_word(at)) else { return self.leave_entry(at) };
        self.store(at, word.without_live(in_word(at)));
        Some(len)
    }

    #[cold]
    fn leave_entry(&self, at: u32) -> Option<u32> {
        let [entries] = self.entries.get()?;
        entries.remove(in_page(at)).map(|entry| entry.len)
    }

    /// A range that is not live starts at a position.
    #[inline]
    pub(crate) fn add_start(&self, at: u32) {
        let word = self.own_word(at);
        if word.is_empty() {
            self.set_used(at);
        }
        self.store(at, word.with_start(in_word(at)));
    }

    fn set_used(&self, at: u32) {
        self.used.store(self.used.load(Ordering::Relaxed) | 1 << number(at), Ordering::Release);
    }

    /// No range starts at a position any more. None that is live does.
    #[inline]
    pub(crate) fn remove_start(&self, at: u32) {
        let word = self.own_word(at).without_start(in_word(at));
        self.store(at, word);
        if word.is_empty() {
            self.used.store(self.used.load(Ordering::Relaxed) & !(1 << number(at)), Ordering::Release);
        }
    }

    /// Makes sure that a live range can be [split](Self::split) at `cut` in another page or this one.
    pub(crate) fn reserve_split(&self, at: u32, other: &Page, cut: u32, tag: u32) -> Result<(), Error> {
        other.settle_common_tag(tag);
        self.reserve_entry(at, 0)?;
        other.reserve_entry(cut, 1)
    }

    /// A live range of `len` quanta becomes two. What a word says of an inline range cannot change in one step, so
    /// meanwhile an entry stands for it.
    pub(crate) fn split(&self, at: u32, len: u32, other: &Page, cut: u32, tag: u32) {
        self.put(at, len, tag);
        self.store(at, self.own_word(at).without_live(in_word(at)));
        let rest = len - (cut - at);
        if other.holds_inline(cut, rest, tag) {
            other.set_used(cut);
            other.enter(cut, rest, tag, true);
        } else {
            other.put(cut, rest, tag);
            other.add_start(cut);
        }
        self.put(at, cut - at, tag);
        if self.holds_inline(at, cut - at, tag) {
            self.enter(at, cut - at, tag, true);
            self.leave_entry(at);
        }
    }
}
