//! What came of a policy, as JSON has it. Sizes of pages are in bytes.

use std::collections::BTreeMap;

use execmem_sim::{Counts, DirectReport, TlbCounts};
use serde::Serialize;

/// The whole comparison.
#[derive(Debug, Serialize)]
pub(crate) struct Comparison {
    pub(crate) load: LoadOutcome,
    pub(crate) machine: MachineOutcome,
    pub(crate) arch: String,
    pub(crate) window: Window,
    pub(crate) policies: Vec<Outcome>,
}

/// Where the policies of Linux place everything. The table of the engine may have more windows.
#[derive(Debug, Serialize)]
pub(crate) struct Window {
    pub(crate) start: String,
    pub(crate) len: u64,
}

#[derive(Debug, Serialize)]
pub(crate) struct LoadOutcome {
    pub(crate) modules_of: String,
    pub(crate) modules: usize,
    pub(crate) programs: usize,
    pub(crate) probes: usize,
    pub(crate) trampolines: usize,
    pub(crate) churn: u32,
}

#[derive(Debug, Serialize)]
pub(crate) struct MachineOutcome {
    pub(crate) name: &'static str,
    pub(crate) about: String,
    pub(crate) memory_bytes: u64,
    pub(crate) tlb_source: String,
}

/// A policy. What is not said otherwise is of the moment when all modules are loaded and initialised.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Outcome {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    /// Leaves in the window by size.
    pub(crate) mappings: BTreeMap<u64, u64>,
    pub(crate) direct_map: DirectOutcome,
    /// Of the whole run, in the window and in the direct map.
    pub(crate) splits: u64,
    pub(crate) merges: u64,
    /// Flushes of all processors, of the whole run.
    pub(crate) flushes: u64,
    pub(crate) bytes_mapped: u64,
    pub(crate) bytes_requested: u64,
    /// Walks of the page tables, with everything loaded, on an idle machine.
    pub(crate) itlb_misses: u64,
    pub(crate) dtlb_misses: u64,
    pub(crate) tlb: TlbOutcome,
    /// Loads that were refused, of the whole run.
    pub(crate) refused: u64,
    pub(crate) marks: Vec<Mark>,
    /// The direct map while the run went on.
    pub(crate) history: Vec<Sample>,
    /// Where everything lies when everything is loaded. For the report.
    #[serde(skip)]
    pub(crate) map: Vec<Block>,
}

/// The direct map.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct DirectOutcome {
    /// Leaves by size.
    #[serde(flatten)]
    pub(crate) leaves: BTreeMap<u64, u64>,
    /// Bytes that left large leaves since boot, in large pages.
    pub(crate) lost: u64,
    /// The same when everything is unloaded again.
    pub(crate) lost_for_good: u64,
}

/// Translation caches.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct TlbOutcome {
    /// Leaves that hold code, and that hold anything else.
    pub(crate) code_entries: u64,
    pub(crate) data_entries: u64,
    pub(crate) idle: Misses,
    /// With a program that runs between the calls.
    pub(crate) competing: Misses,
    /// The same with calls of BPF programs only.
    pub(crate) programs: Misses,
}

/// What a trace missed.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Misses {
    pub(crate) fetches: u64,
    /// Not in the first level, but in the second.
    pub(crate) itlb_second_level_hits: u64,
    pub(crate) itlb_misses: u64,
    pub(crate) loads: u64,
    pub(crate) dtlb_second_level_hits: u64,
    pub(crate) dtlb_misses: u64,
}

impl From<TlbCounts> for Misses {
    fn from(counts: TlbCounts) -> Self {
        Misses {
            fetches: counts.fetches,
            itlb_second_level_hits: counts.fetch_first_misses - counts.fetch_misses,
            itlb_misses: counts.fetch_misses,
            loads: counts.loads,
            dtlb_second_level_hits: counts.load_first_misses - counts.load_misses,
            dtlb_misses: counts.load_misses,
        }
    }
}

/// The state after a part of the run.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Mark {
    pub(crate) mark: &'static str,
    pub(crate) mappings: BTreeMap<u64, u64>,
    pub(crate) direct_map: BTreeMap<u64, u64>,
    pub(crate) direct_map_lost: u64,
    pub(crate) bytes_mapped: u64,
    pub(crate) bytes_requested: u64,
    /// In the cache of frames that the direct map does not show, used or not.
    pub(crate) cached_bytes: u64,
    pub(crate) wx_bytes: u64,
    /// Since boot, as everything below.
    pub(crate) splits: u64,
    pub(crate) merges: u64,
    /// Of these, in the direct map.
    pub(crate) direct_map_splits: u64,
    pub(crate) direct_map_merges: u64,
    pub(crate) flushes: u64,
    pub(crate) permission_changes: u64,
}

/// The direct map after so many events.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Sample {
    pub(crate) event: u64,
    pub(crate) mark: &'static str,
    pub(crate) lost: u64,
    pub(crate) small_leaves: u64,
}

/// A block of the address-space map: a large leaf, or small ones in a row.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Block {
    pub(crate) start: String,
    pub(crate) len: u64,
    pub(crate) page: u64,
    pub(crate) rights: String,
    /// Offset, bytes, kind, name.
    pub(crate) allocations: Vec<(u64, u64, &'static str, String)>,
}

/// Leaves by size in bytes.
pub(crate) fn by_bytes(direct: &DirectReport) -> BTreeMap<u64, u64> {
    direct.leaves.iter().map(|(size, count)| (size.bytes(), *count)).collect()
}

/// Splits, merges: in the window and in the direct map.
pub(crate) const fn splits_and_merges(counts: &Counts) -> (u64, u64) {
    (counts.splits + counts.direct_splits, counts.merges + counts.direct_merges)
}
