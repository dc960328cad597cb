//! Which edges of the program an input takes: counters that the compiler puts there, with the flags of `cargo xtask fuzz`.
//! Without those there are none, and every input is as good as another.

#![allow(unsafe_code, reason = "the counters are written by code that a compiler made")]

use std::sync::Mutex;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

/// The counters of each part of the program.
static PARTS: Mutex<Vec<&'static [AtomicU8]>> = Mutex::new(Vec::new());

/// The constructors of instrumented code call this once for each part, before `main`.
// SAFETY: no other symbol of this name is linked: `cargo fuzz`, which brings one, does not build this module's part.
#[cfg(execmem_counters)]
#[unsafe(no_mangle)]
extern "C" fn __sanitizer_cov_8bit_counters_init(start: *const AtomicU8, end: *const AtomicU8) {
    let len = (end as usize).saturating_sub(start as usize);
    // SAFETY: the compiler made an array of bytes from `start` to `end`, which is there for good; the code that counts
    // stores single bytes, and these are read and cleared as such.
    let part = unsafe { std::slice::from_raw_parts(start, len) };
    if let Ok(mut parts) = PARTS.lock() {
        parts.push(part);
    }
}

/// What has been seen: a bit for each order of magnitude of each counter.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    orders: Vec<u8>,
    /// Counters that were ever above zero.
    pub(crate) edges: usize,
}

impl Seen {
    /// Takes what the counters say since the last time. Whether any of it is new.
    pub(crate) fn take(&mut self) -> bool {
        let Ok(parts) = PARTS.lock() else { return false };
        let len = parts.iter().map(|part| part.len()).sum();
        self.orders.resize(len, 0);
        let (mut is_new, mut first) = (false, 0);
        for part in parts.iter() {
            // SAFETY: eight counters are any number of 64 bits, and this thread alone counts.
            let (before, words, _) = unsafe { part.align_to::<AtomicU64>() };
            let (before, rest) = part.split_at(before.len());
            is_new |= self.note(before, first);
            let eights = rest.chunks(8).zip(words.iter().map(Some).chain(std::iter::repeat(None)));
            for (index, (eight, word)) in eights.enumerate() {
                // Few of many edges are taken by one input: most words are zero.
                if word.is_none_or(|word| word.load(Ordering::Relaxed) != 0) {
                    is_new |= self.note(eight, first + before.len() + index * 8);
                }
            }
            first += part.len();
        }
        is_new
    }

    /// Takes what some counters say, of which the first has a number.
    fn note(&mut self, counters: &[AtomicU8], first: usize) -> bool {
        let mut is_new = false;
        for (counter, orders) in counters.iter().zip(&mut self.orders[first..]) {
            let count = counter.load(Ordering::Relaxed);
            if count != 0 {
                counter.store(0, Ordering::Relaxed);
                let order = 1 << count.ilog2();
                self.edges += usize::from(*orders == 0);
                is_new |= *orders & order == 0;
                *orders |= order;
            }
        }
        is_new
    }

    /// How many counters there are.
    pub(crate) const fn counters(&self) -> usize {
        self.orders.len()
    }
}
