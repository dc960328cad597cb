//! A report for people.

use std::fmt::Write as _;

use comfy_table::{CellAlignment, Table, presets};

use crate::report::{BenchReport, Report};

/// Measures in the order they are shown, and the digits after the point.
const COLUMNS: &[(&str, usize)] = &[
    ("cpu_ns_per_pair", 0),
    ("wall_ns_per_pair", 0),
    ("waits_per_1000", 1),
    ("mapping_waits_per_1000", 2),
    ("met_per_1000", 1),
    ("ns_per_op", 1),
    ("ns_per_lookup", 1),
    ("cpu_ns_per_function", 0),
    ("translate_ns", 0),
    ("install_ns", 0),
    ("install_share", 3),
    ("replace_ns", 0),
    ("wall_us", 0),
    ("wall_ns_per_function", 0),
    ("ratio_to_mmap", 3),
    ("ratio_to_heap", 2),
    ("ratio_to_btree", 2),
    ("ratio_to_offset_allocator", 2),
    ("p99_9_ns", 0),
    ("p99_9_to_heap", 2),
    ("max_ns", 0),
    ("high_water_per_live", 3),
    ("metadata_bytes_per_live", 1),
    ("resident_per_live", 3),
    ("resident_bytes", 0),
    ("virtual_bytes", 0),
    ("mappings", 0),
    ("heap_bytes", 0),
    ("resident_ratio", 3),
    ("resident_growth_bytes", 0),
    ("faults_per_program", 2),
    ("mapped_per_live", 3),
    ("large_mapped_bytes", 0),
    ("wx_bytes", 0),
    ("ns_per_call", 1),
    ("call_ratio", 3),
    ("system_calls", 0),
    ("system_calls_ratio", 5),
];

/// The whole report.
pub(crate) fn text(report: &Report) -> String {
    let machine = &report.machine;
    let mut text = format!(
        "{}\n{} × {} ({}), {}; THP {}, of memory files {}; median of {} rounds{}\n",
        report.command,
        machine.cpus,
        machine.cpu,
        machine.architecture,
        machine.kernel,
        machine.transparent_hugepage,
        machine.shmem_transparent_hugepage,
        report.rounds,
        if report.quick { ", quick" } else { "" },
    );
    for bench in &report.benches {
        let _ = write!(text, "\n{}: {}\n{}\n", bench.name, bench.about, rows(bench));
    }
    text
}

fn rows(bench: &BenchReport) -> Table {
    let is_measured = |name: &str| bench.peers.iter().any(|peer| peer.measures.contains_key(name));
    let columns: Vec<_> = COLUMNS.iter().filter(|(name, _)| is_measured(name)).collect();
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    table.set_header(std::iter::once("peer").chain(columns.iter().map(|(name, _)| *name)));
    for peer in &bench.peers {
        let cells = columns.iter().map(|(name, digits)| match peer.measures.get(*name) {
            Some(value) => format!("{value:.digits$}"),
            None => "-".to_owned(),
        });
        table.add_row(std::iter::once(peer.peer.clone()).chain(cells));
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}
