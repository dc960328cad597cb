//! What was found, as data and for people, and where it is kept.

use std::fmt::Write as _;

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
    /// Of a layout in small pages: the time of the same in large ones, and what the model's misses cost besides.
    pub(crate) predicted_ns: Option<f64>,
}

impl CaseReport {
    /// Fills in the predictions.
    pub(crate) fn predict(&mut self, costs: Costs) {
        for (small, large) in Layout::TWINS {
            let large = &self.layouts[large];
            let rest = large.ns_per_call - costs.of(large.model);
            let small = &mut self.layouts[small];
            small.predicted_ns = Some(rest + costs.of(small.model));
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
        "ratio: time to that of one function a page in the same round. Misses: per call, by the model. Predicted: what the \
         same places take in large pages, and besides, fitted to this run, {:.0} ns for a hit in the second level, {:.0} ns for a walk, {:.0} ns for a walk \
         whose entries were not used for long",
        report.costs.second_level_hit_ns, report.costs.walk_ns, report.costs.far_walk_ns
    );
    let ratios = PUBLISHED.map(|misses| format!("{:.2}", misses / PUBLISHED[0])).join(" > ");
    let _ = writeln!(text, "published for 700 BPF programs (iTLB misses, not time): {ratios}");
    if report.cases.iter().flat_map(|case| &case.layouts).any(LayoutReport::lacks_large_pages) {
        let _ = writeln!(text, "large pages could not be had for all of the text: layouts of 2M are not what they say");
    }
    text
}

impl LayoutReport {
    fn lacks_large_pages(&self) -> bool {
        self.layout.is_large() && self.large_bytes < self.bytes as u64
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
        "predicted",
        "ratio",
        "second-level hits",
        "walks",
        "of these far",
    ]);
    for CaseReport { case, layouts, .. } in &report.cases {
        for layout in layouts {
            table.add_row([
                case.law.name().to_owned(),
                case.sizes.name().to_owned(),
                case.text_mib.to_string(),
                layout.layout.name().to_owned(),
                format!("{:.1}", layout.ns_per_call),
                layout.predicted_ns.map_or_else(String::new, |ns| format!("{ns:.1}")),
                format!("{:.2}", layout.ratio),
                format!("{:.3}", layout.model.second_level_hits),
                format!("{:.3}", layout.model.walks),
                format!("{:.3}", layout.model.far_walks),
            ]);
        }
    }
    for column in table.column_iter_mut().filter(|column| ![0, 1, 3].contains(&column.index)) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}
