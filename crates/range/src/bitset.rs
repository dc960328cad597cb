//! A sparse set of small integers that finds the neighbours of a number in constant time.
//!
//! Three levels: words of 64 members, a leaf of 256 words with one summary bit a word, and one bit a leaf.
//! Leaves appear when a number near them is [reserved](BitSet::reserve) and stay; inserting and removing then
//! never allocates. Bits inside one word are found by counting zeros, so a look-up touches a handful of cache lines
//! however many members the set has.

use alloc::{boxed::Box, vec::Vec};

use crate::{Error, memory};

const WORD_LOG2: u32 = 6;
const LEAF_LOG2: u32 = 14;
const WORDS: usize = 1 << (LEAF_LOG2 - WORD_LOG2);
const SUMMARIES: usize = WORDS / 64;

#[derive(Debug, Clone)]
struct Leaf {
    words: [u64; WORDS],
    /// Bit `w` is set when `words[w]` is not zero.
    summary: [u64; SUMMARIES],
}

/// The set. Numbers are below 2³¹.
#[derive(Debug, Default)]
pub(crate) struct BitSet {
    leaves: Vec<Option<Box<[Leaf; 1]>>>,
    /// Bit `l` is set when leaf `l` has a member.
    occupied: Vec<u64>,
}

const fn leaf_of(n: u32) -> usize {
    (n >> LEAF_LOG2) as usize
}

const fn word_of(n: u32) -> usize {
    (n >> WORD_LOG2) as usize % WORDS
}

const fn bit_of(n: u32) -> u64 {
    1 << (n % 64)
}

/// The bits of `index % 64` and below.
const fn up_to(index: usize) -> u64 {
    u64::MAX >> (63 - index % 64)
}

/// Highest set bit at or below `index` in a string of words.
fn last_set(words: &[u64], index: usize) -> Option<usize> {
    let mut word = index / 64;
    let mut bits = words.get(word)? & up_to(index);
    while bits == 0 {
        word = word.checked_sub(1)?;
        bits = words[word];
    }
    Some(word * 64 + bits.ilog2() as usize)
}

/// Lowest set bit at or above `index` in a string of words.
fn first_set(words: &[u64], index: usize) -> Option<usize> {
    let mut word = index / 64;
    let mut bits = words.get(word)? & !(up_to(index) >> 1);
    while bits == 0 {
        word += 1;
        bits = *words.get(word)?;
    }
    Some(word * 64 + bits.trailing_zeros() as usize)
}

impl Leaf {
    const EMPTY: Self = Leaf { words: [0; WORDS], summary: [0; SUMMARIES] };

    /// Highest member with its word at or below `word`, in leaf-local numbers.
    fn last_from(&self, word: usize) -> Option<u32> {
        let word = last_set(&self.summary, word)?;
        Some(join(word, self.words[word].ilog2()))
    }

    /// Lowest member with its word at or above `word`, in leaf-local numbers.
    fn first_from(&self, word: usize) -> Option<u32> {
        let word = first_set(&self.summary, word)?;
        Some(join(word, self.words[word].trailing_zeros()))
    }
}

#[expect(clippy::cast_possible_truncation, reason = "a word index is below 2⁸ and a leaf index below 2¹⁷")]
const fn join(word: usize, bit: u32) -> u32 {
    ((word as u32) << WORD_LOG2) + bit
}

#[expect(clippy::cast_possible_truncation, reason = "a leaf index is below 2¹⁷")]
const fn in_leaf(leaf: usize, local: u32) -> u32 {
    ((leaf as u32) << LEAF_LOG2) + local
}

impl BitSet {
    /// Makes sure that `n` can be inserted and removed without allocating.
    pub(crate) fn reserve(&mut self, n: u32) -> Result<(), Error> {
        let index = leaf_of(n);
        if let Some(Some(_)) = self.leaves.get(index) {
            return Ok(());
        }
        memory::try_extend(&mut self.leaves, index + 1)?;
        memory::try_extend(&mut self.occupied, index / 64 + 1)?;
        self.leaves[index] = Some(memory::try_box(Leaf::EMPTY)?);
        Ok(())
    }

    fn leaf(&self, index: usize) -> Option<&Leaf> {
        self.leaves.get(index)?.as_deref().map(|[leaf]| leaf)
    }

    fn leaf_mut(&mut self, index: usize) -> Option<&mut Leaf> {
        self.leaves.get_mut(index)?.as_deref_mut().map(|[leaf]| leaf)
    }

    /// Whether `n` is a member.
    pub(crate) fn contains(&self, n: u32) -> bool {
        self.leaf(leaf_of(n)).is_some_and(|leaf| leaf.words[word_of(n)] & bit_of(n) != 0)
    }

    /// Adds `n`, for which room must have been [reserved](Self::reserve).
    pub(crate) fn insert(&mut self, n: u32) {
        let index = leaf_of(n);
        let Some(leaf) = self.leaf_mut(index) else {
            panic!("I9: no room was reserved for the bit {n}");
        };
        let word = word_of(n);
        let before = leaf.words[word];
        leaf.words[word] = before | bit_of(n);
        if before == 0 {
            leaf.summary[word / 64] |= 1 << (word % 64);
            self.occupied[index / 64] |= 1 << (index % 64);
        }
    }

    /// Removes `n` if it is a member.
    pub(crate) fn remove(&mut self, n: u32) {
        let index = leaf_of(n);
        let Some(leaf) = self.leaf_mut(index) else { return };
        let word = word_of(n);
        leaf.words[word] &= !bit_of(n);
        if leaf.words[word] != 0 {
            return;
        }
        leaf.summary[word / 64] &= !(1 << (word % 64));
        if leaf.summary == [0; SUMMARIES] {
            self.occupied[index / 64] &= !(1 << (index % 64));
        }
    }

    /// The highest member that is `n` or less.
    pub(crate) fn at_or_before(&self, n: u32) -> Option<u32> {
        let index = leaf_of(n);
        if let Some(leaf) = self.leaf(index) {
            let word = word_of(n);
            let bits = leaf.words[word] & up_to(n as usize);
            if bits != 0 {
                return Some(in_leaf(index, join(word, bits.ilog2())));
            }
            if let Some(local) = word.checked_sub(1).and_then(|word| leaf.last_from(word)) {
                return Some(in_leaf(index, local));
            }
        }
        let before = index.checked_sub(1)?.min((self.occupied.len() * 64).checked_sub(1)?);
        let index = last_set(&self.occupied, before)?;
        Some(in_leaf(index, self.leaf(index)?.last_from(WORDS - 1)?))
    }

    /// The lowest member that is `n` or more.
    pub(crate) fn at_or_after(&self, n: u32) -> Option<u32> {
        let index = leaf_of(n);
        if let Some(leaf) = self.leaf(index) {
            let word = word_of(n);
            let bits = leaf.words[word] & !(up_to(n as usize) >> 1);
            if bits != 0 {
                return Some(in_leaf(index, join(word, bits.trailing_zeros())));
            }
            if let Some(local) = leaf.first_from(word + 1) {
                return Some(in_leaf(index, local));
            }
        }
        let index = first_set(&self.occupied, index + 1)?;
        Some(in_leaf(index, self.leaf(index)?.first_from(0)?))
    }

    /// Bytes of heap in use.
    pub(crate) fn heap_bytes(&self) -> usize {
        let leaves = self.leaves.iter().flatten().count() * size_of::<Leaf>();
        leaves + self.leaves.capacity() * size_of::<Option<Box<[Leaf; 1]>>>() + self.occupied.capacity() * 8
    }
}

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeSet;

    use super::*;

    #[test]
    fn neighbours_agree_with_a_tree() {
        let mut set = BitSet::default();
        let mut tree = BTreeSet::new();
        let mut seed = 7_u64;
        for step in 0..20_000_u32 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let n = u32::try_from(seed >> 33).expect("31 bits") >> (seed % 12);
            if step % 3 == 0 {
                set.remove(n);
                tree.remove(&n);
            } else {
                set.reserve(n).expect("memory");
                set.insert(n);
                tree.insert(n);
            }
            let probe = n ^ (step << 3);
            assert_eq!(set.contains(probe), tree.contains(&probe));
            assert_eq!(set.at_or_before(probe), tree.range(..=probe).next_back().copied());
            assert_eq!(set.at_or_after(probe), tree.range(probe..).next().copied());
        }
    }

    #[test]
    fn empty_set_has_no_neighbours() {
        let set = BitSet::default();
        assert_eq!(set.at_or_before(u32::MAX / 2), None);
        assert_eq!(set.at_or_after(0), None);
    }
}
