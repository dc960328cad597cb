//! Entries of page tables as words.

use crate::direct::Alias;
use crate::sync::{AtomicU64, Ordering};

/// An entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Entry {
    /// Beyond memory.
    Nothing,
    Leaf(Alias),
    /// The slot of a table.
    Table(usize),
}

/// Words of the entries that lead nowhere further; tables follow.
const WORDS: [Entry; 4] =
    [Entry::Nothing, Entry::Leaf(Alias::ReadWrite), Entry::Leaf(Alias::ReadOnly), Entry::Leaf(Alias::Absent)];

impl Entry {
    fn to_word(self) -> u64 {
        match self {
            Entry::Table(slot) => (WORDS.len() + slot) as u64,
            entry => WORDS.iter().position(|other| *other == entry).unwrap_or(0) as u64,
        }
    }

    fn from_word(word: u64) -> Self {
        let word = usize::try_from(word).unwrap_or(0);
        WORDS.get(word).copied().unwrap_or_else(|| Entry::Table(word - WORDS.len()))
    }

    pub(crate) fn word(self) -> AtomicU64 {
        AtomicU64::new(self.to_word())
    }

    pub(crate) fn load(from: &AtomicU64) -> Self {
        Entry::from_word(from.load(Ordering::Acquire))
    }

    pub(crate) fn store(self, to: &AtomicU64) {
        to.store(self.to_word(), Ordering::Release);
    }
}
