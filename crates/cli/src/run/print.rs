//! A report for people.

use super::report::{KindReport, LayoutReport, Report, ratio};
use crate::output::{Grid, Text, printable};

/// A report as text.
pub(crate) fn text(report: &Report) -> Text {
    let mut text = Text::new();
    text.paragraph(&report.about);
    text.grid(&kinds(report));
    let entries: u64 = report.mappings.values().sum();
    text.paragraph(format!(
        "page-table entries   {entries} ({}); the old practice needs {} of 4K",
        by_size(&report.mappings),
        report.baseline_mappings
    ));
    if let Some(pages) = report.text {
        let (large, mapped) = (bytes(pages.bytes_in_large_pages), bytes(pages.bytes_mapped));
        text.paragraph(format!("text in 2M pages     {large} of {mapped}"));
    }
    let (functions, objects) = (report.functions, report.objects);
    text.paragraph(format!(
        "functions            {} installed, {} calls, {} wrong",
        functions.made, functions.checked, functions.wrong
    ));
    text.paragraph(format!(
        "modules of ours      {} loaded, {} calls, {} wrong",
        objects.made, objects.checked, objects.wrong
    ));
    add_callers(report, &mut text);
    for layout in &report.module_layouts {
        add_layout(layout, &mut text);
    }
    if report.module_layouts.is_empty() && report.callers.is_empty() {
        text.paragraph(format!(
            "kernel modules       {} loaded, {} failed",
            report.modules_loaded,
            report.modules_failed.len()
        ));
        if report.module_rounds > 0 {
            let (rounds, threads) = (report.module_rounds, super::rounds::THREADS);
            text.paragraph(format!("rounds               {rounds} of loading and unloading by {threads} threads"));
        }
        for failure in &report.modules_failed {
            text.paragraph(format!("  {}: {}", printable(&failure.name), printable(&failure.reason)));
        }
    }
    if let Some(calls) = report.system_calls_in_steady_state {
        text.paragraph(format!("system calls         {calls} in 10000 cycles of alloc, write, publish, free"));
    }
    for note in &report.notes {
        text.paragraph(format!("note: {note}"));
    }
    text.paragraph(format!("wx_bytes: {}", report.wx_bytes));
    text.paragraph(format!("audit: {}", report.audit));
    text
}

fn kinds(report: &Report) -> Grid {
    let mut grid = Grid::new(["kind", "allocations", "asked", "granted", "mapped", "entries", "windows"]);
    for kind in report.kinds.iter().filter(|kind| kind.allocations > 0) {
        grid.row(cells(kind));
    }
    grid
}

fn add_callers(report: &Report, text: &mut Text) {
    if report.callers.is_empty() {
        return;
    }
    let header = ["caller", "allocations", "live", "holds", "at most", "refused", "results", "wrong"];
    let mut grid = Grid::new(header).right_from(1);
    for caller in &report.callers {
        grid.row([
            caller.caller.to_owned(),
            caller.allocations.to_string(),
            caller.live.to_string(),
            bytes(caller.bytes),
            bytes(caller.peak_bytes),
            caller.refused.to_string(),
            caller.results.checked.to_string(),
            caller.results.wrong.to_string(),
        ]);
    }
    text.grid(&grid);
    if let Some(shared) = report.shared_blocks {
        text.paragraph(format!(
            "blocks with code     {} of 2M, {} with code of several callers, {} of all",
            shared.blocks, shared.shared, shared.by_all
        ));
    }
}

fn cells(kind: &KindReport) -> Vec<String> {
    let mapped = match kind.shares {
        Some(home) if kind.bytes_mapped == 0 => format!("with {home}"),
        _ => bytes(kind.bytes_mapped),
    };
    vec![
        kind.kind.to_owned(),
        kind.allocations.to_string(),
        bytes(kind.bytes_requested),
        bytes(kind.bytes_granted),
        mapped,
        by_size(&kind.mappings),
        kind.windows.join("\n"),
    ]
}

fn add_layout(layout: &LayoutReport, text: &mut Text) {
    text.paragraph(format!(
        "{} {:9} {} modules in {} entries ({}), {:.3} bytes mapped per byte asked; Linux 6.1: {} of 4K",
        layout.set,
        layout.table,
        layout.modules,
        layout.entries(),
        by_size(&layout.mappings),
        layout.mapped_per_requested(),
        layout.baseline_mappings
    ));
}

/// `12 × 2M + 3 × 4K`
fn by_size(mappings: &std::collections::BTreeMap<u64, u64>) -> String {
    let parts = mappings.iter().rev().filter(|(_, count)| **count > 0);
    let parts: Vec<_> = parts.map(|(page, count)| format!("{count} × {}", size(*page))).collect();
    parts.join(" + ")
}

fn size(page: u64) -> String {
    execmem::PowerOfTwo::from_bytes(page).map_or_else(|| page.to_string(), |size| size.to_string())
}

/// Bytes for people.
fn bytes(count: u64) -> String {
    match count {
        0..1024 => format!("{count} B"),
        1024..0x10_0000 => format!("{:.1} KiB", ratio(count, 1 << 10)),
        _ => format!("{:.2} MiB", ratio(count, 1 << 20)),
    }
}
