//! What the simulator's translation caches say about the same calls.

use anyhow::{Context as _, Result};
use execmem_arch_x86::MACHINE_X86;
use execmem_sim::trace::Zipf;
use execmem_sim::{KnownProcessor, Options, Sim, TlbCounts};
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

/// Misses per call.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Misses {
    /// Not in the first level, but in the second.
    pub(crate) second_level_hits: f64,
    /// Walks of the page tables.
    pub(crate) walks: f64,
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
    let sim = Sim::with_options(&MACHINE_X86, &Options { processor: known.processor(), ..Options::default() });
    let page = if layout == Layout::PackedLarge { PageSize::mib(2) } else { PageSize::kib(4) };
    let offsets = functions.offsets(layout);
    let run = |calls: &[usize]| {
        for &index in calls {
            for link in functions.links(index) {
                sim.other_on(0, BASE + (offsets[index] + link) as u64, page, true);
            }
        }
        sim.tlb_counts()
    };
    let calls = calls(case.law, functions.len(), WARM_UP_CALLS + CALLS);
    let (warm_up, counted) = calls.split_at(WARM_UP_CALLS);
    let before = run(warm_up);
    let after = run(counted);
    let per_call = |of: fn(&TlbCounts) -> u64| (of(&after) - of(&before)) as f64 / CALLS as f64;
    Misses {
        second_level_hits: per_call(|counts| counts.fetch_first_misses - counts.fetch_misses),
        walks: per_call(|counts| counts.fetch_misses),
    }
}
