//! Traces of calls for the translation caches: which functions run, and what else runs between them.
//!
//! Functions are the pieces of the code that is loaded, popular ones first by Zipf's law. Each call fetches its first and
//! last byte, loads from its module's data, from memory through the direct map, and fetches the kernel's own code.

use execmem_types::Kind;

use crate::Random;
use crate::policy::{Placed, Policy};
use crate::tlb::TlbCounts;

/// A trace.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Trace {
    /// Calls.
    pub calls: u64,
    /// Exponent of Zipf's law: the share of rank r is r to the power of minus this.
    pub exponent: f64,
    /// Start of the random numbers.
    pub seed: u64,
    /// Pages of a program that runs every 64 calls. None: an idle machine.
    pub competing_pages: u64,
    /// Only code of this kind is called.
    pub only: Option<Kind>,
    /// Where the direct map stands.
    pub direct_base: u64,
    /// Bytes of memory that are loaded from through the direct map.
    pub physical_bytes: u64,
}

/// Longest function, in bytes; the shortest is a quarter.
const FUNCTION_BYTES: u64 = 1024;
/// The kernel's own code, in large pages that every call goes through.
const KERNEL_TEXT: u64 = 0xffff_ffff_8100_0000;
const KERNEL_PAGES: u64 = 6;
/// A program's memory.
const PROGRAM: u64 = 0x5555_5555_0000;
const CALLS_PER_RUN: u64 = 64;

/// A function: first and last byte, and the data of its load.
#[derive(Debug, Clone, Copy)]
struct Function {
    first: u64,
    last: u64,
    data: Option<(u64, u64)>,
}

impl Trace {
    /// Runs the trace on what a policy has placed, with empty caches. What they counted.
    #[must_use]
    pub fn run(&self, policy: &dyn Policy) -> TlbCounts {
        let sim = policy.sim();
        let mut random = Random::new(self.seed | 1);
        let mut placed = policy.placed();
        placed.retain(|part| self.only.is_none_or(|kind| part.kind == kind || !part.kind.is_code()));
        let functions = functions(&placed, &mut random);
        sim.reset_tlbs();
        let Some(ranks) = Zipf::new(functions.len(), self.exponent) else { return TlbCounts::default() };
        let (small, large) = (sim.machine().page(), sim.large_page());
        for call in 0..self.calls {
            let function = functions[ranks.draw(random.unit())];
            sim.fetch_on(0, function.first);
            sim.fetch_on(0, function.last);
            if let Some((start, len)) = function.data {
                sim.load_on(0, start + random.below(len));
            }
            // Half of the loads go to a part of memory that is in use all the time.
            let hot = if call.is_multiple_of(2) { self.physical_bytes / 64 } else { self.physical_bytes };
            sim.load_direct_on(0, self.direct_base, random.below(hot.max(1)));
            sim.other_on(0, KERNEL_TEXT + random.below(KERNEL_PAGES << large.log2()), large, true);
            if self.competing_pages > 0 && call.is_multiple_of(CALLS_PER_RUN) {
                for page in 0..self.competing_pages {
                    sim.other_on(0, PROGRAM + (page << small.log2()), small, true);
                    sim.other_on(0, (PROGRAM << 1) + (page << small.log2()), small, false);
                }
            }
        }
        let counts = sim.tlb_counts();
        sim.reset_tlbs();
        counts
    }
}

/// Cuts code into functions and gives each its rank: by chance, and the same for every policy.
fn functions(placed: &[Placed], random: &mut Random) -> Vec<Function> {
    let mut placed = placed.to_vec();
    placed.sort_by_key(|part| (part.id, part.kind, part.bytes));
    let mut functions = Vec::new();
    for part in placed.iter().filter(|part| part.kind.is_code()) {
        let start = placed.partition_point(|other| other.id < part.id);
        let own = placed[start..].iter().take_while(|other| other.id == part.id);
        let data = own.into_iter().find(|other| other.kind == Kind::Data).map(|data| (data.extent.start(), data.bytes));
        let mut offset = 0;
        while offset < part.bytes {
            let len = (FUNCTION_BYTES / 4 + random.below(FUNCTION_BYTES * 3 / 4)).min(part.bytes - offset);
            let first = part.extent.start() + offset;
            functions.push(Function { first, last: first + len - 1, data });
            offset += len;
        }
    }
    for index in (1..functions.len()).rev() {
        let other = usize::try_from(random.below(index as u64 + 1)).unwrap_or(0);
        functions.swap(index, other);
    }
    functions
}

/// Zipf's law over ranks.
#[derive(Debug, Clone)]
pub struct Zipf {
    /// Sums of shares up to each rank; the last is one.
    sums: Vec<f64>,
}

impl Zipf {
    /// The law over as many ranks. `None` without any.
    #[must_use]
    pub fn new(ranks: usize, exponent: f64) -> Option<Self> {
        let mut sum = 0.0;
        let mut rank = 0.0_f64;
        let mut sums = Vec::with_capacity(ranks);
        for _ in 0..ranks {
            rank += 1.0;
            sum += rank.powf(-exponent);
            sums.push(sum);
        }
        sums.iter_mut().for_each(|partial| *partial /= sum);
        (ranks > 0).then_some(Zipf { sums })
    }

    /// A rank, counted from 0, of a number from 0 up to 1.
    #[must_use]
    pub fn draw(&self, unit: f64) -> usize {
        self.sums.partition_point(|partial| *partial < unit).min(self.sums.len() - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_rank_has_the_share_that_the_law_says() {
        let ranks = Zipf::new(1000, 1.0).expect("ranks");
        let mut random = Random::new(7);
        let first = (0..100_000).filter(|_| ranks.draw(random.unit()) == 0).count();
        // One divided by the thousandth harmonic number is 0.1336.
        assert!((12_900..13_800).contains(&first), "{first}");
        assert!(Zipf::new(0, 1.0).is_none());
    }
}
