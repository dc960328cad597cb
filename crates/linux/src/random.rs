//! Random numbers for places that cannot be guessed.

use std::hash::{DefaultHasher, Hasher as _};
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::rand::{GetRandomFlags, getrandom};

use crate::auxv;

/// A sequence of numbers from a key that only this process has, or from a seed.
///
/// The key is drawn once, so that growth needs no system call for it.
pub(crate) struct Random {
    key: [u64; 4],
    drawn: AtomicUsize,
}

impl Random {
    /// From a seed, or from the system's random numbers.
    pub(crate) fn new(seed: Option<u64>) -> Self {
        let key = seed.map_or_else(drawn_key, |seed| [seed; 4]);
        Random { key, drawn: AtomicUsize::new(0) }
    }

    /// A number below `limit`, or 0 if that is 0.
    pub(crate) fn below(&self, limit: u64) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.key.iter().for_each(|word| hasher.write_u64(*word));
        hasher.write_usize(self.drawn.fetch_add(1, Ordering::Relaxed));
        // The upper half of the product is uniform but for one part in 2⁶⁴ / limit.
        let product = u128::from(hasher.finish()) * u128::from(limit);
        u64::try_from(product >> 64).unwrap_or(0)
    }
}

/// A key of the system's random numbers. Where a filter refuses them, of where the kernel put the mappings of the
/// process, and of the time.
fn drawn_key() -> [u64; 4] {
    let mut bytes = [0; 32];
    if getrandom(&mut bytes, GetRandomFlags::NONBLOCK) == Ok(bytes.len()) {
        let mut words = bytes.chunks_exact(8).map(|part| part.try_into().map_or(0, u64::from_ne_bytes));
        return [(); 4].map(|()| words.next().unwrap_or(0));
    }
    let code: fn() -> [u64; 4] = drawn_key;
    let places = [code as usize, bytes.as_ptr().addr(), auxv::program_name()];
    let since = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    let [code, stack, start] = places.map(|place| place as u64);
    [code, stack, start, since.as_secs() << 30 ^ u64::from(since.subsec_nanos())]
}

impl std::fmt::Debug for Random {
    /// Tells nothing about the key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Random(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_in_range_differ_and_repeat_with_a_seed_only() {
        let draw = |seed| {
            let random = Random::new(seed);
            (0..1000).map(|_| random.below(1 << 40)).collect::<Vec<_>>()
        };
        let (one, other) = (draw(None), draw(None));
        assert_ne!(one, other);
        assert_eq!(draw(Some(7)), draw(Some(7)));
        assert_ne!(draw(Some(7)), draw(Some(8)));
        let distinct: std::collections::HashSet<_> = one.iter().collect();
        assert!(distinct.len() > 990 && one.iter().all(|number| *number < 1 << 40));
        let random = Random::new(None);
        let mut seen = [0; 8];
        (0..8000).for_each(|_| seen[usize::try_from(random.below(8)).expect("below 8")] += 1);
        assert!(seen.iter().all(|count| (800..1200).contains(count)), "{seen:?}");
        assert_eq!(random.below(0), 0);
    }
}
