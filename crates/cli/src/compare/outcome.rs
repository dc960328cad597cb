//! What came of a policy, as JSON has it. Sizes of pages are in bytes.

use std::collections::BTreeMap;

use execmem_sim::{Counts, DirectReport, TlbCounts};
use schemars::JsonSchema;
use serde::Serialize;

use super::layout::Layout;
use crate::provenance::Provenance;
use crate::survey::facts::Place;

/// The name and version of the format. It changes when a reader of the older one would misread the newer.
pub(crate) const SCHEMA: &str = "execmem-compare-1";

/// The whole comparison.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct Comparison {
    /// The format: `execmem-compare-1`.
    pub(crate) schema: &'static str,
    /// What made it.
    pub(crate) provenance: Provenance,
    /// What was loaded.
    pub(crate) load: LoadOutcome,
    /// The machine that was simulated.
    pub(crate) machine: MachineOutcome,
    /// The table: page sizes and windows.
    pub(crate) arch: String,
    /// Where the policies of Linux place everything.
    pub(crate) window: Window,
    /// The mark at which the values of a moment are read.
    pub(crate) moment: &'static str,
    /// The policy by which the release of Linux in question serves this machine, if one of these is.
    pub(crate) today: Option<&'static str>,
    /// What is assumed, and what is left out.
    pub(crate) notes: Vec<String>,
    /// One for each policy.
    pub(crate) policies: Vec<Outcome>,
    /// Where the surveyed machine has its code and data now. For the report.
    #[serde(skip)]
    pub(crate) places: Vec<Place>,
    /// What was loaded, by number. For the report.
    #[serde(skip)]
    pub(crate) names: Vec<String>,
}

/// Where the policies of Linux place everything. The table of the engine may have more windows.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct Window {
    /// First address.
    pub(crate) start: String,
    /// Bytes.
    pub(crate) len: u64,
}

/// What was loaded.
#[derive(Debug, Default, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct LoadOutcome {
    /// What the modules, or everything together, are called.
    pub(crate) modules_of: String,
    /// Modules.
    pub(crate) modules: usize,
    /// BPF programs.
    pub(crate) programs: usize,
    /// Slots of kprobes.
    pub(crate) probes: usize,
    /// Trampolines of ftrace.
    pub(crate) trampolines: usize,
    /// Functions of a JIT.
    pub(crate) functions: usize,
    /// Events of a trace.
    pub(crate) events: usize,
    /// Modules and programs that were replaced by others.
    pub(crate) churn: u32,
    /// Modules whose files could not be read, and which are left out.
    pub(crate) unreadable: usize,
}

/// The machine that was simulated.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct MachineOutcome {
    /// Its name.
    pub(crate) name: String,
    /// What it is.
    pub(crate) about: String,
    /// Bytes of memory.
    pub(crate) memory_bytes: u64,
    /// Where the geometry of the translation caches is from; null if they are not known.
    pub(crate) tlb_source: Option<String>,
    /// How its processors learn of new code: by themselves, by a broadcast, or when interrupted.
    pub(crate) code_sync: &'static str,
}

/// A policy. What is not said to be of the whole run is of the moment that `moment` names.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct Outcome {
    /// Its name.
    pub(crate) name: &'static str,
    /// What it is.
    pub(crate) about: &'static str,
    /// Whether everything was loaded. If not, no other value may be compared with another policy's.
    pub(crate) is_comparable: bool,
    /// Leaves in the window by size.
    pub(crate) mappings: BTreeMap<u64, u64>,
    /// The direct map; null if none is simulated.
    pub(crate) direct_map: Option<DirectOutcome>,
    /// Of the whole run, in the window and in the direct map.
    pub(crate) splits: u64,
    /// Of the whole run, in the window and in the direct map.
    pub(crate) merges: u64,
    /// Flushes of the translations of all processors, of the whole run.
    pub(crate) flushes: u64,
    /// Times that instruction fetch was told of new code, of the whole run. `machine.code_sync` says how; where it is by
    /// interrupt, each is an interrupt of every other processor.
    pub(crate) code_syncs: u64,
    /// Bytes that are mapped.
    pub(crate) bytes_mapped: u64,
    /// Bytes that were asked for.
    pub(crate) bytes_requested: u64,
    /// Walks of the page tables for fetches, with everything loaded, on an idle machine.
    pub(crate) itlb_misses: Option<u64>,
    /// Walks of the page tables for loads, with everything loaded, on an idle machine.
    pub(crate) dtlb_misses: Option<u64>,
    /// Translation caches with everything loaded; null if they are not known.
    pub(crate) tlb: Option<TlbOutcome>,
    /// Loads that were refused, of the whole run.
    pub(crate) refused: u64,
    /// The state after each part of the run.
    pub(crate) marks: Vec<Mark>,
    /// The direct map while the run went on.
    pub(crate) history: Vec<Sample>,
    /// What lay where, all through the run. For the report.
    #[serde(skip)]
    pub(crate) layout: Layout,
}

/// The direct map.
#[derive(Debug, Clone, Serialize, JsonSchema)]
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
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct TlbOutcome {
    /// Leaves that hold code.
    pub(crate) code_entries: u64,
    /// Leaves that hold anything else.
    pub(crate) data_entries: u64,
    /// On an idle machine.
    pub(crate) idle: Misses,
    /// With a program that runs between the calls.
    pub(crate) competing: Misses,
    /// The same with calls of BPF programs only.
    pub(crate) programs: Misses,
}

/// What a trace of calls missed.
#[derive(Debug, Clone, Default, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct Misses {
    /// Instruction fetches.
    pub(crate) fetches: u64,
    /// Not in the first level, but in the second.
    pub(crate) itlb_second_level_hits: u64,
    /// In neither.
    pub(crate) itlb_misses: u64,
    /// Loads and stores.
    pub(crate) loads: u64,
    /// Not in the first level, but in the second.
    pub(crate) dtlb_second_level_hits: u64,
    /// In neither.
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
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct Mark {
    /// The part.
    pub(crate) mark: &'static str,
    /// Leaves in the window by size.
    pub(crate) mappings: BTreeMap<u64, u64>,
    /// Leaves of the direct map by size.
    pub(crate) direct_map: BTreeMap<u64, u64>,
    /// Bytes that left large leaves of the direct map since boot, in large pages.
    pub(crate) direct_map_lost: u64,
    /// Bytes that are mapped.
    pub(crate) bytes_mapped: u64,
    /// Bytes that were asked for.
    pub(crate) bytes_requested: u64,
    /// In the cache of frames that the direct map does not show, used or not.
    pub(crate) cached_bytes: u64,
    /// Bytes that are writable and executable at once.
    pub(crate) wx_bytes: u64,
    /// Loads that were refused since boot.
    pub(crate) refused: u64,
    /// Since boot, as everything below.
    pub(crate) splits: u64,
    /// Small leaves that became one large.
    pub(crate) merges: u64,
    /// Of the splits, in the direct map.
    pub(crate) direct_map_splits: u64,
    /// Of the merges, in the direct map.
    pub(crate) direct_map_merges: u64,
    /// Flushes of the translations of all processors.
    pub(crate) flushes: u64,
    /// Times that instruction fetch was told of new code.
    pub(crate) code_syncs: u64,
    /// Leaves whose rights changed.
    pub(crate) permission_changes: u64,
}

/// The direct map after so many events.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct Sample {
    /// Loads and unloads so far.
    pub(crate) event: u64,
    /// When, if the run has times.
    pub(crate) seconds: Option<f64>,
    /// The part of the run.
    pub(crate) mark: &'static str,
    /// Bytes that left large leaves since boot, in large pages.
    pub(crate) lost: u64,
    /// Leaves of the smallest size.
    pub(crate) small_leaves: u64,
}

impl Outcome {
    /// The state that the values of a moment are of.
    pub(crate) fn mark(&self, name: &str) -> Option<&Mark> {
        self.marks.iter().find(|mark| mark.mark == name)
    }

    /// The state with everything loaded: at the last mark before something is replaced or unloaded; in a trace, at its
    /// fullest moment.
    pub(crate) fn fullest(&self) -> Option<&Mark> {
        self.mark("fullest").or_else(|| self.marks.iter().rfind(|mark| !matches!(mark.mark, "churn" | "unloaded")))
    }
}

/// Leaves by size in bytes.
pub(crate) fn by_bytes(direct: &DirectReport) -> BTreeMap<u64, u64> {
    direct.leaves.iter().map(|(size, count)| (size.bytes(), *count)).collect()
}

/// Splits, merges: in the window and in the direct map.
pub(crate) const fn splits_and_merges(counts: &Counts) -> (u64, u64) {
    (counts.splits + counts.direct_splits, counts.merges + counts.direct_merges)
}
