//! Numbers that look random and are the same everywhere, for loads and tests.

/// xorshift64*. One seed gives one sequence on every machine and in every version of this crate.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// The sequence of a seed. 0 is taken for 1, since nothing else follows from 0.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Random(if seed == 0 { 1 } else { seed })
    }

    /// The next number.
    pub const fn number(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `bound`, or 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        let scaled = (u128::from(self.number()) * u128::from(bound)) >> 64;
        u64::try_from(scaled).unwrap_or(0)
    }

    /// From 0 up to, but not including, 1.
    pub fn unit(&mut self) -> f64 {
        let bits = u32::try_from(self.number() >> 32).unwrap_or(0);
        f64::from(bits) / 4_294_967_296.0
    }

    /// One of several things.
    ///
    /// # Panics
    ///
    /// If there is none.
    pub fn pick<'t, T>(&mut self, from: &'t [T]) -> &'t T {
        &from[usize::try_from(self.below(from.len() as u64)).unwrap_or(0)]
    }

    /// Puts things into another order, each as likely as any other.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, usize::try_from(self.below(last as u64 + 1)).unwrap_or(last));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_one_sequence_and_numbers_are_in_range() {
        let mut random = Random::new(0x9e37_79b9_7f4a_7c15);
        let first = [random.number(), random.number()];
        let mut again = Random::new(0x9e37_79b9_7f4a_7c15);
        assert_eq!(first, [again.number(), again.number()]);
        assert_ne!(Random::new(0).number(), 0);
        let (below, unit) = (random.below(10), random.unit());
        assert!(below < 10 && (0.0..1.0).contains(&unit) && random.below(0) == 0);
        let mut order: Vec<_> = (0..100).collect();
        random.shuffle(&mut order);
        assert!(!order.is_sorted());
        order.sort_unstable();
        assert!(order.into_iter().eq(0..100), "each once");
        assert!((0..1000).map(|_| *random.pick(&[1, 2, 3])).all(|picked| (1..=3).contains(&picked)));
    }
}
