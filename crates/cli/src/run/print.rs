//! A report for people.

use comfy_table::{CellAlignment, Table, presets};

use super::report::{KindReport, LayoutReport, Report, ratio};

/// Prints a report.
pub(crate) fn print(report: &Report) {
    println!("{}", report.about);
    print_kinds(report);
    let entries: u64 = report.mappings.values().sum();
    println!(
        "page-table entries   {entries} ({}); the old practice needs {} of 4K",
        by_size(&report.mappings),
        report.baseline_mappings
    );
    if let Some(text) = report.text {
        println!("text in 2M pages     {} of {}", bytes(text.bytes_in_large_pages), bytes(text.bytes_mapped));
    }
    let (functions, objects) = (report.functions, report.objects);
    println!(
        "functions            {} installed, {} calls, {} wrong",
        functions.made, functions.checked, functions.wrong
    );
    println!("modules of ours      {} loaded, {} calls, {} wrong", objects.made, objects.checked, objects.wrong);
    print_callers(report);
    for layout in &report.module_layouts {
        print_layout(layout);
    }
    if report.module_layouts.is_empty() && report.callers.is_empty() {
        println!("kernel modules       {} loaded, {} failed", report.modules_loaded, report.modules_failed.len());
        for failure in &report.modules_failed {
            println!("  {}: {}", failure.name, failure.reason);
        }
    }
    if let Some(calls) = report.system_calls_in_steady_state {
        println!("system calls         {calls} in 10000 cycles of alloc, write, publish, free");
    }
    for note in &report.notes {
        println!("note: {note}");
    }
    println!("wx_bytes: {}", report.wx_bytes);
    println!("audit: {}", report.audit);
}

fn print_kinds(report: &Report) {
    let mut table = Table::new();
    table.load_preset(presets::UTF8_BORDERS_ONLY);
    table.set_header(["kind", "allocations", "asked", "granted", "mapped", "entries", "windows"]);
    for kind in report.kinds.iter().filter(|kind| kind.allocations > 0) {
        table.add_row(cells(kind));
    }
    for column in table.column_iter_mut().skip(1).take(4) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    println!("{table}");
}

fn print_callers(report: &Report) {
    if report.callers.is_empty() {
        return;
    }
    let mut table = Table::new();
    table.load_preset(presets::UTF8_BORDERS_ONLY);
    table.set_header(["caller", "allocations", "live", "holds", "at most", "refused", "results", "wrong"]);
    for caller in &report.callers {
        table.add_row([
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
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    println!("{table}");
    if let Some(shared) = report.shared_blocks {
        println!(
            "blocks with code     {} of 2M, {} with code of several callers, {} of all",
            shared.blocks, shared.shared, shared.by_all
        );
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

fn print_layout(layout: &LayoutReport) {
    println!(
        "{} {:9} {} modules in {} entries ({}), {:.3} bytes mapped per byte asked; Linux 6.1: {} of 4K",
        layout.set,
        layout.table,
        layout.modules,
        layout.entries(),
        by_size(&layout.mappings),
        layout.mapped_per_requested(),
        layout.baseline_mappings,
    );
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
