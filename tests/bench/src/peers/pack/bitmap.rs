//! Which chunks of a pack are used: one bit each, searched from the first.

const WORD_BITS: usize = 64;

#[derive(Debug)]
pub(super) struct Bitmap {
    words: Vec<u64>,
    used: usize,
}

impl Bitmap {
    /// `len` chunks, a multiple of 64, none used.
    pub(super) fn new(len: usize) -> Self {
        Bitmap { words: vec![0; len / WORD_BITS], used: 0 }
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.used == 0
    }

    /// Takes the first run of `count` free chunks.
    pub(super) fn take(&mut self, count: usize) -> Option<usize> {
        let len = self.words.len() * WORD_BITS;
        let mut start = 0;
        loop {
            start = self.next(start, |word| !word);
            if start + count > len {
                return None;
            }
            let end = self.next(start, |word| word);
            if end - start >= count {
                self.flip(start, count);
                self.used += count;
                return Some(start);
            }
            start = end;
        }
    }

    /// Gives back `count` used chunks.
    pub(super) fn give_back(&mut self, start: usize, count: usize) {
        self.flip(start, count);
        self.used -= count;
    }

    /// The first bit from `from` on that is set in what `wanted` makes of its word; the length if there is none.
    fn next(&self, from: usize, wanted: impl Fn(u64) -> u64) -> usize {
        let mut mask = u64::MAX << (from % WORD_BITS);
        for (index, word) in self.words.iter().enumerate().skip(from / WORD_BITS) {
            let found = wanted(*word) & mask;
            if found != 0 {
                return index * WORD_BITS + found.trailing_zeros() as usize;
            }
            mask = u64::MAX;
        }
        self.words.len() * WORD_BITS
    }

    fn flip(&mut self, start: usize, count: usize) {
        let (mut at, end) = (start, start + count);
        while at < end {
            let bit = at % WORD_BITS;
            let run = (WORD_BITS - bit).min(end - at);
            self.words[at / WORD_BITS] ^= (u64::MAX >> (WORD_BITS - run)) << bit;
            at += run;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::{Random, SEED};

    #[test]
    fn it_is_first_fit() {
        let (mut bitmap, mut naive, mut live) = (Bitmap::new(512), vec![false; 512], Vec::new());
        let mut random = Random::new(SEED);
        for _ in 0..20_000 {
            if !live.is_empty() && random.below(2) == 0 {
                let (start, count): (usize, usize) = live.swap_remove(random.below(live.len()));
                bitmap.give_back(start, count);
                naive[start..start + count].fill(false);
            } else {
                let count = random.range(1, 100);
                let first = (0..=512 - count).find(|start| naive[*start..start + count].iter().all(|used| !used));
                assert_eq!(bitmap.take(count), first);
                if let Some(start) = first {
                    naive[start..start + count].fill(true);
                    live.push((start, count));
                }
            }
            assert_eq!(bitmap.is_empty(), live.is_empty());
        }
    }
}
