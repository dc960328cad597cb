//! Random numbers as inputs have them, the same everywhere.

/// A sequence that follows from its start.
#[derive(Debug, Clone)]
pub struct Random(execmem_sim::Random);

impl Random {
    /// The sequence of a number.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Random(execmem_sim::Random::new(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1))
    }

    /// The next number.
    pub const fn next(&mut self) -> u64 {
        self.0.number()
    }

    /// A number below `bound`; 0 if that is 0.
    pub fn below(&mut self, bound: usize) -> usize {
        let number = usize::try_from(self.next() >> 33).unwrap_or(0);
        number.checked_rem(bound).unwrap_or(0)
    }

    /// One of several. `None` of none.
    pub fn pick<'a, T>(&mut self, of: &'a [T]) -> Option<&'a T> {
        of.get(self.below(of.len()))
    }

    /// A number as programs have it: small, a power of two, one beside it, the last of a width, or any.
    pub fn number(&mut self) -> u64 {
        match self.below(8) {
            0 | 1 => self.next() % 16,
            2 | 3 => (1_u64 << self.below(64)).wrapping_add(self.next() % 3).wrapping_sub(1),
            4 => u64::MAX >> self.below(64),
            5 => (self.next() % 4096).wrapping_neg(),
            6 => self.next() % 0x1_0000,
            _ => self.next(),
        }
    }
}
