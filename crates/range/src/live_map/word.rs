//! A word of the live map: what it says about its 32 quanta.
//!
//! | bits | meaning |
//! |---|---|
//! | 0..32 | a range of any state starts at this quantum |
//! | 32..48 | bit `i`: the last range that starts in quanta `2i..2i + 2` is live and *inline* |
//! | 48..64 | length of the last range that starts in the word, if it is live and inline |
//!
//! One load tells all about an inline range: where it starts, that it is live, and where it ends. With 32 quanta a
//! position is found by shifts, and 16 bits are left for the length, which nearly all ranges have.

/// Quanta of a word.
pub(super) const WORD: u32 = 32;

/// Length of the longest inline range. Shorter where tests want to see long ones.
pub(super) const LONGEST: u32 = if cfg!(any(test, loom)) { 100 } else { (1 << (64 - LEN_SHIFT)) - 1 };

const LIVE_SHIFT: u32 = WORD;
const LEN_SHIFT: u32 = LIVE_SHIFT + WORD / 2;

/// The word. Positions are relative to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Word(pub(super) u64);

const fn live_bit(at: u32) -> u64 {
    1 << (LIVE_SHIFT + at / 2)
}

/// Whether a word can hold a live range: it is not too long, and not the first of two that start in a pair.
pub(super) const fn is_inline(at: u32, len: u32) -> bool {
    len <= LONGEST && (len > 1 || at % 2 == 1)
}

impl Word {
    /// Whether a range starts at a position.
    pub(super) const fn has_start(self, at: u32) -> bool {
        self.0 & 1 << at != 0
    }

    /// Whether no range starts here.
    #[expect(clippy::cast_possible_truncation, reason = "the low half is meant")]
    pub(super) const fn is_empty(self) -> bool {
        self.0 as u32 == 0
    }

    /// The last start before a position, which may be the end of the word.
    #[inline]
    pub(super) const fn last_start_before(self, at: u32) -> Option<u32> {
        let bits = self.0 & ((1 << at) - 1);
        if bits == 0 { None } else { Some(bits.ilog2()) }
    }

    /// Whether the range that starts at a position, where one does, is live and inline.
    pub(super) const fn is_live(self, at: u32) -> bool {
        // Of two starts in a pair, the bit is about the second. Without branches: whether one is odd cannot be foreseen.
        let is_second_free = !(self.0 >> at >> 1);
        (self.0 >> (LIVE_SHIFT + at / 2)) & (at as u64 | is_second_free) & 1 != 0
    }

    /// Length of the live inline range that starts at a position where some range does.
    pub(super) const fn live_len(self, at: u32) -> Option<u32> {
        if self.is_live(at) { Some(self.len(at)) } else { None }
    }

    /// How far it is to the next start; in its absence, the length that is noted.
    #[expect(clippy::cast_possible_truncation, reason = "the low half is meant")]
    const fn len(self, at: u32) -> u32 {
        let after = self.0 as u32 & (u32::MAX << at << 1);
        if after == 0 { (self.0 >> LEN_SHIFT) as u32 } else { after.trailing_zeros() - at }
    }

    /// The word with a start. If the first of its pair is live and inline, it must not be the second.
    pub(super) const fn with_start(self, at: u32) -> Self {
        Word(self.0 | 1 << at)
    }

    /// The word without a start, of a range that is not live.
    pub(super) const fn without_start(self, at: u32) -> Self {
        Word(self.0 & !(1 << at))
    }

    /// The word with a live inline range. The start that follows it must be here already, or not belong here.
    pub(super) const fn with_live(self, at: u32, len: u32) -> Self {
        let word = self.0 | 1 << at | live_bit(at);
        let is_last = word & ((1 << LIVE_SHIFT) - 1) < 2 << at;
        if is_last { Word(word & ((1 << LEN_SHIFT) - 1) | (len as u64) << LEN_SHIFT) } else { Word(word) }
    }

    /// The word in which the range at a position is not live and inline any more.
    pub(super) const fn without_live(self, at: u32) -> Self {
        Word(self.0 & !live_bit(at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: Word = Word(0);

    #[test]
    fn neighbours_are_found_within_the_word_only() {
        let word = EMPTY.with_start(0).with_start(31).with_live(6, 25);
        let before = [0, 6, 7, 31, 32].map(|at| word.last_start_before(at));
        assert_eq!(before, [None, Some(0), Some(6), Some(6), Some(31)]);
        assert_eq!(word.without_start(0).last_start_before(6), None);
        assert_eq!([0, 6, 31].map(|at| word.live_len(at)), [None, Some(25), None]);
    }

    #[test]
    fn lengths_are_told_by_the_next_start_or_by_the_word() {
        let word = EMPTY.with_start(9).with_live(3, 6);
        assert_eq!(word.live_len(3), Some(6));
        let word = word.with_live(9, LONGEST);
        assert_eq!((word.live_len(3), word.live_len(9)), (Some(6), Some(LONGEST)));
        assert_eq!(word.without_live(9).live_len(9), None);
        assert_eq!(word.with_live(31, 1).live_len(31), Some(1));
    }

    #[test]
    fn of_two_starts_in_a_pair_the_second_is_told() {
        let word = EMPTY.with_start(4).with_start(6).with_live(5, 1);
        assert_eq!((word.live_len(4), word.live_len(5)), (None, Some(1)));
        assert!(!is_inline(4, 1) && is_inline(5, 1) && is_inline(4, 2) && !is_inline(4, LONGEST + 1));
    }
}
