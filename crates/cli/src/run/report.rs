//! What a run found, as data.

use std::collections::BTreeMap;

use execmem::{Engine, Kind, Stats};
use execmem_types::NamedTable;
use serde::Serialize;

use crate::args::BackendChoice;
use crate::workload::Workload;

/// Everything a run found.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) about: String,
    pub(crate) backend: &'static str,
    pub(crate) arch: String,
    /// Both engines together, at the fullest moment of each.
    pub(crate) kinds: Vec<KindReport>,
    /// Page-table entries by page size in bytes, of both engines.
    pub(crate) mappings: BTreeMap<u64, u64>,
    /// 4K entries that the old practice needs for the same load: one page a function, a lump of pages a module.
    pub(crate) baseline_mappings: u64,
    pub(crate) wx_bytes: u64,
    /// The table says that memory is writable and executable.
    pub(crate) is_legacy: bool,
    pub(crate) system_calls_in_steady_state: Option<u64>,
    /// "ok", or the invariant that failed.
    pub(crate) audit: String,
    pub(crate) functions: Checked,
    pub(crate) objects: Checked,
    /// Callers that were run together, at their fullest moment.
    pub(crate) callers: Vec<CallerReport>,
    pub(crate) shared_blocks: Option<SharedBlocks>,
    pub(crate) text: Option<TextReport>,
    pub(crate) modules_loaded: u64,
    pub(crate) modules_failed: Vec<ModuleFailure>,
    /// Times that they were loaded and unloaded again by several threads.
    pub(crate) module_rounds: u64,
    pub(crate) module_layouts: Vec<LayoutReport>,
    pub(crate) notes: Vec<String>,
}

/// One kind.
#[derive(Debug, Default, Clone, Serialize)]
pub(crate) struct KindReport {
    pub(crate) kind: &'static str,
    pub(crate) allocations: u64,
    pub(crate) bytes_requested: u64,
    pub(crate) bytes_granted: u64,
    /// Bytes of the blocks of this kind; of a kind that shares blocks, 0: they count for the other.
    pub(crate) bytes_mapped: u64,
    /// Page-table entries by page size in bytes.
    pub(crate) mappings: BTreeMap<u64, u64>,
    pub(crate) windows: Vec<String>,
    pub(crate) shares: Option<&'static str>,
}

/// What one caller holds.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct CallerReport {
    pub(crate) caller: &'static str,
    pub(crate) allocations: u64,
    pub(crate) live: u64,
    pub(crate) bytes: u64,
    pub(crate) peak_bytes: u64,
    pub(crate) refused: u64,
    pub(crate) results: Checked,
}

/// Stretches of 2 MiB, at multiples of that, by how many callers have code in them.
#[derive(Debug, Default, Clone, Copy, Serialize)]
pub(crate) struct SharedBlocks {
    pub(crate) block_bytes: u64,
    pub(crate) blocks: u64,
    /// With code of two callers at least.
    pub(crate) shared: u64,
    /// With code of all callers.
    pub(crate) by_all: u64,
}

/// Results that were compared with what they should be.
#[derive(Debug, Default, Clone, Copy, Serialize)]
pub(crate) struct Checked {
    pub(crate) made: u64,
    pub(crate) checked: u64,
    pub(crate) wrong: u64,
}

/// What the kernel says about the text of this process that is ours.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct TextReport {
    pub(crate) bytes_mapped: u64,
    pub(crate) bytes_in_large_pages: u64,
}

#[derive(Debug, Clone, Serialize)]
pub(crate) struct ModuleFailure {
    pub(crate) name: String,
    pub(crate) reason: String,
}

/// A module set laid out by one table.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct LayoutReport {
    pub(crate) set: String,
    pub(crate) table: &'static str,
    pub(crate) modules: u64,
    pub(crate) mappings: BTreeMap<u64, u64>,
    pub(crate) bytes_requested: u64,
    pub(crate) bytes_mapped: u64,
    /// 4K entries of Linux 6.1 for the same modules.
    pub(crate) baseline_mappings: u64,
}

impl LayoutReport {
    pub(crate) fn entries(&self) -> u64 {
        self.mappings.values().sum()
    }

    pub(crate) fn mapped_per_requested(&self) -> f64 {
        ratio(self.bytes_mapped, self.bytes_requested)
    }
}

/// A ratio for people.
#[expect(clippy::cast_precision_loss, reason = "shown with a few digits")]
pub(crate) fn ratio(a: u64, b: u64) -> f64 {
    if b == 0 { 0.0 } else { a as f64 / b as f64 }
}

impl Report {
    pub(crate) fn new(backend: BackendChoice, named: &NamedTable, workload: &Workload) -> Self {
        let kinds = Kind::ALL.map(|kind| KindReport { kind: kind.name(), ..KindReport::default() });
        Report {
            about: workload.about.clone(),
            backend: match backend {
                BackendChoice::Linux => "linux",
                BackendChoice::Sim => "sim",
            },
            arch: named.name.to_owned(),
            kinds: kinds.into(),
            mappings: BTreeMap::new(),
            baseline_mappings: 0,
            wx_bytes: 0,
            is_legacy: false,
            system_calls_in_steady_state: None,
            audit: "ok".into(),
            functions: Checked::default(),
            objects: Checked::default(),
            callers: Vec::new(),
            shared_blocks: None,
            text: None,
            modules_loaded: 0,
            modules_failed: Vec::new(),
            module_rounds: 0,
            module_layouts: Vec::new(),
            notes: Vec::new(),
        }
    }

    /// Whether every audit and every result is right, and every module loaded.
    pub(crate) fn is_good(&self) -> bool {
        let of_callers: u64 = self.callers.iter().map(|caller| caller.results.wrong).sum();
        let wrong =
            self.functions.wrong + self.objects.wrong + of_callers + if self.is_legacy { 0 } else { self.wx_bytes };
        self.audit == "ok" && wrong == 0 && self.modules_failed.is_empty()
    }

    /// Adds what an engine holds at this moment.
    pub(crate) fn add_engine<B: execmem::Memory<Kind>>(&mut self, engine: &Engine<B>) {
        let stats = engine.stats();
        for (index, kind) in Kind::ALL.into_iter().enumerate() {
            let (report, stats) = (&mut self.kinds[index], stats.kinds[kind]);
            report.allocations += stats.allocations;
            report.bytes_requested += stats.bytes_requested;
            report.bytes_granted += stats.bytes_granted;
            let home = engine.table().home(kind);
            report.shares = (home != kind).then(|| home.name());
        }
        for (kind, pool) in stats.pools() {
            let report = &mut self.kinds[kind.index()];
            report.bytes_mapped += pool.bytes_mapped;
            for (page, count) in pool.leaves() {
                *report.mappings.entry(page.bytes()).or_default() += count;
            }
            report.windows.extend(pool.windows().map(|(window, _)| window.to_string()));
        }
    }

    /// Adds the entries an engine says it has.
    pub(crate) fn add_mappings(&mut self, stats: &Stats) {
        for (page, count) in stats.leaves() {
            *self.mappings.entry(page.bytes()).or_default() += count;
        }
    }

    /// Notes the verdict of an audit; the first that is bad stays.
    pub(crate) fn audited<E: core::fmt::Display>(&mut self, verdict: Result<(), E>) {
        if let (Err(broken), "ok") = (verdict, self.audit.as_str()) {
            self.audit = broken.to_string();
        }
    }
}
