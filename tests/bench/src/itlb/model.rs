//! What the simulator's translation caches say about the same calls.

use anyhow::{Context as _, Result};
use execmem_arch_x86::MACHINE_X86;
use execmem_sim::trace::Zipf;
use execmem_sim::{KnownProcessor, Options, Processor, Sim, TlbArray, TlbCounts};
use execmem_types::PageSize;
use serde::{Deserialize, Serialize};

use super::case::{Case, Law, Layout};
use super::functions::Functions;
use crate::random::{Random, SEED};

/// Calls before misses are counted, and while they are.
const WARM_UP_CALLS: usize = 50_000;
const CALLS: usize = 150_000;
/// Where text starts in the model: addresses of the process would make its results differ from run to run.
const BASE: u64 = 0x7f00_0000_0000;

/// Memory that a line of page-table entries maps: eight of 4K.
const TABLE_LINE: PageSize = PageSize::kib(32);
/// Lines of page-table entries that stay in the cache next to the processor: a quarter of its 2 MiB, since code passes
/// through it as well. An assumption, not a fact that was looked up.
const TABLE_LINES: u32 = 8192;
const TABLE_WAYS: u32 = 16;

/// Misses per call.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Misses {
    /// Not in the first level, but in the second.
    pub(crate) second_level_hits: f64,
    /// Walks of the page tables.
    pub(crate) walks: f64,
    /// Of these, walks whose entry lies in a line that was not used for long.
    pub(crate) far_walks: f64,
}

impl Misses {
    /// What costs differ in: hits in the second level, walks near, walks far.
    pub(crate) const fn by_cost(self) -> [f64; 3] {
        [self.second_level_hits, self.walks - self.far_walks, self.far_walks]
    }
}

/// The processor of a name, or the one this runs on. Its name too.
pub(crate) fn processor(wanted: Option<&str>) -> Result<(String, KnownProcessor)> {
    let all = KnownProcessor::all()?;
    let names = all.keys().cloned().collect::<Vec<_>>().join(", ");
    let here = cpu_model();
    let is_wanted = |name: &str, known: &KnownProcessor| match (wanted, here) {
        (Some(wanted), _) => name == wanted,
        (None, Some((family, model))) => known.is_model(family, model),
        (None, None) => false,
    };
    let found = all.into_iter().find(|(name, known)| is_wanted(name, known));
    found.with_context(|| format!("the translation caches of this processor are not known; say --processor: {names}"))
}

/// Family and model, as CPUID has them.
fn cpu_model() -> Option<(u32, u32)> {
    let text = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let field = |name: &str| {
        let is_field = |line: &&str| line.split(':').next().is_some_and(|found| found.trim() == name);
        text.lines().find(is_field)?.split_once(':')?.1.trim().parse().ok()
    };
    Some((field("cpu family")?, field("model")?))
}

/// Which functions are called, in order.
pub(crate) fn calls(law: Law, functions: usize, calls: usize) -> Vec<usize> {
    let mut random = Random::new(SEED);
    let mut by_rank: Vec<usize> = (0..functions).collect();
    random.shuffle(&mut by_rank);
    let exponent = match law {
        Law::Uniform => 0.0,
        Law::Zipf => 1.0,
    };
    let Some(ranks) = Zipf::new(functions, exponent) else { return Vec::new() };
    (0..calls).map(|_| by_rank[ranks.draw(random.unit())]).collect()
}

/// Misses of a case in a layout.
pub(crate) fn misses(known: &KnownProcessor, case: Case, functions: &Functions, layout: Layout) -> Misses {
    let machine = |processor| Sim::with_options(&MACHINE_X86, &Options { processor, ..Options::default() });
    let (caches, lines) = (machine(known.processor()), machine(table_lines()));
    let page = if layout.is_large() { PageSize::mib(2) } else { PageSize::kib(4) };
    let offsets = functions.offsets(layout);
    let run = |calls: &[usize]| {
        let mut walks = caches.tlb_counts().fetch_misses;
        for (&index, link) in calls.iter().flat_map(|index| functions.links(*index).map(move |link| (index, link))) {
            let address = BASE + (offsets[index] + link) as u64;
            caches.other_on(0, address, page, true);
            let walked = caches.tlb_counts().fetch_misses;
            if walked > walks {
                lines.other_on(0, address, TABLE_LINE, true);
            }
            walks = walked;
        }
        (caches.tlb_counts(), lines.tlb_counts())
    };
    let calls = calls(case.law, functions.len(), WARM_UP_CALLS + CALLS);
    let (warm_up, counted) = calls.split_at(WARM_UP_CALLS);
    let before = run(warm_up);
    let after = run(counted);
    let per_call = |of: fn(&(TlbCounts, TlbCounts)) -> u64| (of(&after) - of(&before)) as f64 / CALLS as f64;
    Misses {
        second_level_hits: per_call(|(caches, _)| caches.fetch_first_misses - caches.fetch_misses),
        walks: per_call(|(caches, _)| caches.fetch_misses),
        far_walks: per_call(|(_, lines)| lines.fetch_misses),
    }
}

/// A cache of lines of page-table entries.
fn table_lines() -> Processor {
    let array = TlbArray { entries: TABLE_LINES, ways: TABLE_WAYS, pages: vec![TABLE_LINE] };
    Processor { instruction: vec![array], ..Processor::default() }
}
