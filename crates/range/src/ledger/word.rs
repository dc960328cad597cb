//! What one word of the ledger says about its 36 quanta.
//!
//! | bits | meaning |
//! |---|---|
//! | 0..36 | a range of any state starts at this quantum |
//! | 36..54 | of each pair of quanta: the range that starts there is live and *plain*; of two starts the second is meant |
//! | 54..64 | the length of the last range that starts here, if it is live and plain |
//!
//! So one load tells all about a plain range: where it starts, that it is live, and where it ends. 36 quanta are the
//! most for which there is room for lengths that nearly all ranges have.

/// Quanta a word speaks for.
pub(super) const WORD: u32 = 36;

/// Length of the longest plain range. Shorter where tests want to see long ones.
pub(super) const LONGEST: u32 = if cfg!(any(test, loom)) { 100 } else { (1 << (64 - LEN_SHIFT)) - 1 };

const LIVE_SHIFT: u32 = WORD;
const LEN_SHIFT: u32 = LIVE_SHIFT + WORD / 2;
const STARTS: u64 = (1 << WORD) - 1;

/// The word. Positions are relative to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Word(pub(super) u64);

const fn start_bit(at: u32) -> u64 {
    1 << at
}

const fn live_bit(at: u32) -> u64 {
    1 << (LIVE_SHIFT + at / 2)
}

/// Whether a word can tell about a live range: it is not too long, and not the first of two that start in a pair.
pub(super) const fn is_plain(at: u32, len: u32) -> bool {
    len <= LONGEST && (len > 1 || at % 2 == 1)
}

impl Word {
    /// Nothing starts here.
    pub(super) const EMPTY: Self = Word(0);

    const fn starts(self) -> u64 {
        self.0 & STARTS
    }

    /// Whether a range starts at a position.
    #[inline]
    pub(super) const fn has_start(self, at: u32) -> bool {
        self.0 & start_bit(at) != 0
    }

    /// Whether a live plain range starts at a position where some range does.
    #[inline]
    pub(super) const fn is_live(self, at: u32) -> bool {
        // Without branches: whether a start is odd cannot be foreseen.
        (self.0 & live_bit(at) != 0) & ((at % 2 == 1) | !self.has_start(at | 1))
    }

    /// Whether nothing starts here.
    pub(super) const fn is_empty(self) -> bool {
        self.starts() == 0
    }

    /// The last start at or before a position.
    #[inline]
    pub(super) const fn last_start(self, at: u32) -> Option<u32> {
        let bits = self.starts() & (u64::MAX >> (63 - at));
        if bits == 0 { None } else { Some(bits.ilog2()) }
    }

    /// The first start at or after a position.
    #[inline]
    pub(super) const fn next_start(self, at: u32) -> Option<u32> {
        let bits = self.starts() & (u64::MAX << at);
        if bits == 0 { None } else { Some(bits.trailing_zeros()) }
    }

    /// Length of the live plain range that starts at a position where some range does.
    #[inline]
    pub(super) const fn live_len(self, at: u32) -> Option<u32> {
        if !self.is_live(at) {
            return None;
        }
        match self.next_start(at + 1) {
            Some(end) => Some(end - at),
            None => Some((self.0 >> LEN_SHIFT) as u32),
        }
    }

    /// The same word with a start. If the first of its pair is live and plain, it must not be the second.
    pub(super) const fn with_start(self, at: u32) -> Self {
        Word(self.0 | start_bit(at))
    }

    /// The same word without a start, of a range that is not live.
    pub(super) const fn without_start(self, at: u32) -> Self {
        Word(self.0 & !start_bit(at))
    }

    /// The same word with a live plain range. The start of what follows must be here already, or not belong here.
    pub(super) const fn with_live(self, at: u32, len: u32) -> Self {
        let word = self.0 | start_bit(at) | live_bit(at);
        match Word(word).next_start(at + 1) {
            Some(_) => Word(word),
            None => Word(word & ((1 << LEN_SHIFT) - 1) | (len as u64) << LEN_SHIFT),
        }
    }

    /// The same word in which the range at a position is not live and plain any more.
    pub(super) const fn without_live(self, at: u32) -> Self {
        Word(self.0 & !live_bit(at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_are_found_within_the_word_only() {
        let word = Word::EMPTY.with_start(0).with_start(35).with_live(6, 29);
        assert_eq!((word.last_start(5), word.last_start(6), word.last_start(35)), (Some(0), Some(6), Some(35)));
        assert_eq!((word.next_start(1), word.next_start(7), word.next_start(36)), (Some(6), Some(35), None));
        assert_eq!(word.without_start(0).last_start(5), None);
        assert!(word.is_live(6) && !word.is_live(0) && !word.is_live(35));
    }

    #[test]
    fn lengths_are_told_by_the_next_start_or_by_the_word() {
        let word = Word::EMPTY.with_start(9).with_live(3, 6);
        assert_eq!(word.live_len(3), Some(6));
        let word = word.with_live(9, LONGEST);
        assert_eq!((word.live_len(3), word.live_len(9)), (Some(6), Some(LONGEST)));
        assert_eq!(word.without_live(9).live_len(9), None);
        assert_eq!(word.with_live(35, 1).live_len(35), Some(1));
    }

    #[test]
    fn of_two_starts_in_a_pair_the_second_is_told() {
        let word = Word::EMPTY.with_start(4).with_start(6).with_live(5, 1);
        assert_eq!((word.live_len(4), word.live_len(5)), (None, Some(1)));
        assert!(!is_plain(4, 1) && is_plain(5, 1) && is_plain(4, 2) && !is_plain(4, LONGEST + 1));
    }
}
