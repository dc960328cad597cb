//! The random numbers of the traces: xorshift64*, the same on every machine.

/// Seed of the traces of code, and what seeds of range traces are made from.
pub(crate) const SEED: u64 = 0x9E37_79B9_7F4A_7C15;

/// A stream of random numbers.
#[derive(Debug, Clone)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) const fn new(seed: u64) -> Self {
        Random(seed)
    }

    const fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    /// Uniform in `0..limit`; `limit` below 2³².
    pub(crate) const fn below(&mut self, limit: usize) -> usize {
        (((self.next() >> 32) * limit as u64) >> 32) as usize
    }

    /// From 0 up to, but not including, 1.
    pub(crate) const fn unit(&mut self) -> f64 {
        (self.next() >> 32) as f64 / 4_294_967_296.0
    }

    /// Uniform in `low..high`.
    pub(crate) const fn range(&mut self, low: usize, high: usize) -> usize {
        low + self.below(high - low)
    }

    /// One of `count` octaves above `low` with equal odds, then uniform inside it.
    pub(crate) const fn octaves(&mut self, low: usize, count: usize) -> usize {
        let octave = self.below(count);
        self.range(low << octave, low << (octave + 1))
    }

    /// A random order (Fisher and Yates).
    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }
}
