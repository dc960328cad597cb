//! The comparison as text.

use std::collections::BTreeMap;

use comfy_table::{Table, presets};
use execmem::PageSize;

use super::outcome::{Comparison, Mark, Outcome, TlbOutcome};

/// Misses of the instruction translation cache per second that were published for 700 BPF programs: none of the policies,
/// packs, and the proposal of 2022 (LKML, bpf_prog_pack and execmem_alloc series).
const PUBLISHED: [(&str, u32); 3] = [("module_alloc", 350), ("prog_pack", 220), ("execmem-v2", 185)];

/// Prints everything.
pub(crate) fn print(comparison: &Comparison) {
    let load = &comparison.load;
    println!(
        "{} modules of {}, {} programs, {} probes, {} trampolines, {} replaced; {} on {}",
        load.modules,
        load.modules_of,
        load.programs,
        load.probes,
        load.trampolines,
        load.churn,
        comparison.arch,
        comparison.machine.about
    );
    println!("\nWith all modules loaded; losses of the direct map in large pages");
    println!("{}", modules(&comparison.policies));
    println!("\nPage-table entries in the window, and the direct map's losses, after each part of the run");
    println!("{}", marks(&comparison.policies));
    println!(
        "\nWalks of the page tables with everything loaded, calls by Zipf's law: on an idle machine, with a program that"
    );
    println!("runs between the calls, and the same with calls of BPF programs only");
    println!("{}", tlb(&comparison.policies));
    println!("translation caches: {}", comparison.machine.tlb_source);
    println!("iTLB misses published for 700 BPF programs: {}", published());
}

fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::UTF8_BORDERS_ONLY);
    table.set_header(header);
    table
}

fn modules(policies: &[Outcome]) -> Table {
    let header = [
        "policy",
        "entries",
        "mapped",
        "mapped per byte",
        "lost",
        "lost for good",
        "splits",
        "merges",
        "flushes",
        "refused",
    ];
    let mut text = table(&header);
    for policy in policies {
        text.add_row([
            policy.name.to_owned(),
            leaves(&policy.mappings),
            format!("{} KiB", policy.bytes_mapped >> 10),
            per_thousand(policy.bytes_mapped, policy.bytes_requested),
            policy.direct_map.lost.to_string(),
            policy.direct_map.lost_for_good.to_string(),
            policy.splits.to_string(),
            policy.merges.to_string(),
            policy.flushes.to_string(),
            policy.refused.to_string(),
        ]);
    }
    text
}

fn marks(policies: &[Outcome]) -> Table {
    let names: Vec<&str> =
        policies.first().map_or(&[][..], |policy| &policy.marks).iter().map(|mark| mark.mark).collect();
    let mut text = table(&[&["policy"], &names[..]].concat());
    for policy in policies {
        let cell = |mark: &Mark| format!("{}\nlost {}", leaves(&mark.mappings), mark.direct_map_lost);
        text.add_row([policy.name.to_owned()].into_iter().chain(policy.marks.iter().map(cell)));
    }
    text
}

fn tlb(policies: &[Outcome]) -> Table {
    let mut text = table(&[
        "policy",
        "code entries",
        "data entries",
        "iTLB",
        "dTLB",
        "iTLB competing",
        "dTLB competing",
        "iTLB programs",
    ]);
    let base = policies.first().map(|policy| policy.tlb.clone());
    for policy in policies {
        let share = |own: u64, of: fn(&TlbOutcome) -> u64| {
            format!("{own} ({})", per_thousand(own, base.as_ref().map_or(1, of).max(1)))
        };
        text.add_row([
            policy.name.to_owned(),
            policy.tlb.code_entries.to_string(),
            policy.tlb.data_entries.to_string(),
            share(policy.tlb.idle.itlb_misses, |tlb| tlb.idle.itlb_misses),
            share(policy.tlb.idle.dtlb_misses, |tlb| tlb.idle.dtlb_misses),
            share(policy.tlb.competing.itlb_misses, |tlb| tlb.competing.itlb_misses),
            share(policy.tlb.competing.dtlb_misses, |tlb| tlb.competing.dtlb_misses),
            share(policy.tlb.programs.itlb_misses, |tlb| tlb.programs.itlb_misses),
        ]);
    }
    text
}

fn published() -> String {
    let parts = PUBLISHED.map(|(name, misses)| format!("{name} {misses}k/s ({})", per_thousand(misses.into(), 350)));
    parts.join(", ")
}

/// `1 × 2M + 3 × 4K`, largest first.
pub(crate) fn leaves(by_bytes: &BTreeMap<u64, u64>) -> String {
    let part = |(bytes, count): (&u64, &u64)| {
        let size = PageSize::from_bytes(*bytes).map_or_else(|| bytes.to_string(), |size| size.to_string());
        format!("{count} × {size}")
    };
    let parts: Vec<_> = by_bytes.iter().rev().map(part).collect();
    if parts.is_empty() { "none".to_owned() } else { parts.join(" + ") }
}

/// A ratio with three decimals, by integers.
fn per_thousand(part: u64, whole: u64) -> String {
    let scaled = (part * 1000 + whole / 2).checked_div(whole).unwrap_or(0);
    format!("{}.{:03}", scaled / 1000, scaled % 1000)
}
