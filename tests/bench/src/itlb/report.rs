//! What was found, as data and for people, and where it is kept.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use comfy_table::{CellAlignment, Table, presets};
use serde::{Deserialize, Serialize};

use super::case::{Case, Layout};
use super::costs::Costs;
use super::model::Misses;
use crate::machine::Machine;

/// Misses per second that were published for the same step (LKML, bpf_prog_pack and execmem_alloc): a page each, packs,
/// large blocks.
const PUBLISHED: [f64; 3] = [350.0, 220.0, 185.0];

/// Everything.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) command: String,
    pub(crate) machine: Machine,
    /// Whose translation caches predict, and where they are written down.
    pub(crate) processor: String,
    pub(crate) source: String,
    pub(crate) rounds: u32,
    pub(crate) calls: usize,
    /// Fitted to this run.
    pub(crate) costs: Costs,
    pub(crate) cases: Vec<CaseReport>,
}

/// A case.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct CaseReport {
    #[serde(flatten)]
    pub(crate) case: Case,
    pub(crate) functions: usize,
    /// In the order of [`Layout::ALL`].
    pub(crate) layouts: Vec<LayoutReport>,
}

/// A layout of a case.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct LayoutReport {
    pub(crate) layout: Layout,
    pub(crate) bytes: usize,
    /// Of these, bytes that the kernel says are mapped in large pages.
    pub(crate) large_bytes: u64,
    pub(crate) ns_per_call: f64,
    /// To one function a page, in the same round.
    pub(crate) ratio: f64,
    pub(crate) model: Misses,
    /// What the ratio would be if misses, at their fitted costs, were all that differs.
    pub(crate) predicted_ratio: f64,
}

impl CaseReport {
    /// Fills in the predictions.
    pub(crate) fn predict(&mut self, costs: Costs) {
        let spent = |misses: Misses| misses.second_level_hits * costs.second_level_hit_ns + misses.walks * costs.walk_ns;
        let Some(last) = self.layouts.last() else { return };
        let rest = last.ns_per_call - spent(last.model);
        let first = rest + spent(self.layouts[0].model);
        for layout in &mut self.layouts {
            layout.predicted_ratio = (rest + spent(layout.model)) / first;
        }
    }
}

/// The report for people.
pub(crate) fn text(report: &Report) -> String {
    let machine = &report.machine;
    let mut text = format!(
        "{}\n{} ({}), {}; {} calls, median of {} rounds\nmodel: {} ({})\n",
        report.command,
        machine.cpu,
        machine.architecture,
        machine.kernel,
        report.calls,
        report.rounds,
        report.processor,
        report.source,
    );
    let _ = writeln!(text, "{}", table(report));
    let _ = writeln!(
        text,
        "ratio: time to that of one function a page in the same round. misses: per call, by the model; a hit in the second \
         level costs {:.1} ns and a walk {:.1} ns, fitted to this run, which gives the predicted ratio",
        report.costs.second_level_hit_ns, report.costs.walk_ns
    );
    let ratios = PUBLISHED.map(|misses| format!("{:.2}", misses / PUBLISHED[0])).join(" > ");
    let _ = writeln!(text, "published for 700 BPF programs (iTLB misses, not time): {ratios}");
    if report.cases.iter().flat_map(|case| &case.layouts).any(LayoutReport::lacks_large_pages) {
        let _ = writeln!(text, "large pages could not be had for all of the text: `packed 2M` is not what it says");
    }
    text
}

impl LayoutReport {
    fn lacks_large_pages(&self) -> bool {
        self.layout == Layout::PackedLarge && self.large_bytes < self.bytes as u64
    }
}

fn table(report: &Report) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    table.set_header([
        "calls",
        "functions",
        "text MiB",
        "layout",
        "ns/call",
        "ratio",
        "predicted",
        "second-level hits",
        "walks",
    ]);
    for CaseReport { case, layouts, .. } in &report.cases {
        for layout in layouts {
            table.add_row([
                case.law.name().to_owned(),
                case.sizes.name().to_owned(),
                case.text_mib.to_string(),
                layout.layout.name().to_owned(),
                format!("{:.1}", layout.ns_per_call),
                format!("{:.2}", layout.ratio),
                format!("{:.2}", layout.predicted_ratio),
                format!("{:.3}", layout.model.second_level_hits),
                format!("{:.3}", layout.model.walks),
            ]);
        }
    }
    for column in table.column_iter_mut().filter(|column| ![0, 1, 3].contains(&column.index)) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

/// Where results are kept.
pub(crate) fn record_path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("record").join(name)
}

/// Writes a report for machines and one for people.
pub(crate) fn record(report: &Report) -> Result<()> {
    std::fs::write(record_path("itlb.json"), serde_json::to_string_pretty(report)? + "\n").context("itlb.json")?;
    std::fs::write(record_path("itlb.txt"), text(report)).context("itlb.txt")?;
    Ok(())
}
