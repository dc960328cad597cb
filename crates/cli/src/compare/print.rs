//! The comparison as text.

use std::collections::BTreeMap;

use execmem::PageSize;

use super::columns::{MISSES, OF_PROGRAMS, RUN};
use super::outcome::{Comparison, Mark, Outcome, TlbOutcome};
use crate::output::{Grid, Text};

/// Misses of the instruction translation cache per second that were published for 700 BPF programs on x86: none of the
/// policies, packs, and the proposal of 2022 (LKML, bpf_prog_pack and execmem_alloc series).
const PUBLISHED: [(&str, u32); 3] = [("module_alloc", 350), ("prog_pack", 220), ("execmem-v2", 185)];
/// A value that there is none of.
const NONE: &str = "–";

/// Everything.
pub(crate) fn text(comparison: &Comparison) -> Text {
    let mut text = Text::new();
    text.paragraph(comparison.loaded());
    for sentence in comparison.answer() {
        text.paragraph(&sentence);
    }
    text.heading(comparison.moment_title());
    text.grid(&moment(comparison));
    text.heading("Over the whole run");
    text.grid(&whole_run(comparison));
    let lost = if comparison.has_direct_map() { ", and large pages that the direct map has lost" } else { "" };
    text.heading(format!("Page-table entries after each part of the run{lost}"));
    text.grid(&marks(comparison));
    if let Some(source) = &comparison.machine.tlb_source {
        text.heading(comparison.walks());
        text.grid(&tlb(comparison));
        text.paragraph(format!("translation caches: {source}"));
        if comparison.arch.starts_with("x86") && comparison.load.programs > 0 {
            text.paragraph(format!("iTLB misses published for 700 BPF programs: {}", published()));
        }
    }
    for note in &comparison.notes {
        text.paragraph(format!("note: {note}"));
    }
    text
}

impl Comparison {
    /// What was loaded, and where.
    pub(crate) fn loaded(&self) -> String {
        let load = &self.load;
        let counts = [
            (load.modules, "modules"),
            (load.programs, "programs"),
            (load.probes, "probes"),
            (load.trampolines, "trampolines"),
            (load.functions, "functions"),
            (load.events, "events"),
        ];
        let counts = counts.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}"));
        let replaced = if load.churn > 0 { format!(", {} replaced", load.churn) } else { String::new() };
        format!(
            "{} of {}{replaced}; {} on {}",
            counts.collect::<Vec<_>>().join(", "),
            load.modules_of,
            self.arch,
            self.machine.about
        )
    }

    /// What is gained: first what is in use where the question comes from, or if that is not known, what is newest; then
    /// this engine.
    pub(crate) fn answer(&self) -> Vec<String> {
        let of = |name: &str| self.policies.iter().find(|policy| policy.name == name);
        let newest = || self.policies.iter().rfind(|policy| policy.name != super::OURS);
        let today = self.today.and_then(of).or_else(newest);
        let (Some(today), Some(ours)) = (today, of(super::OURS)) else { return Vec::new() };
        if let Some(other) = [today, ours].into_iter().find(|policy| !policy.is_comparable) {
            return vec![format!("{} refused {} loads, so nothing is compared with it", other.name, other.refused)];
        }
        let (Some(now), Some(then)) = (today.fullest(), ours.fullest()) else { return Vec::new() };
        let mut sentences = vec![format!(
            "With everything loaded: {} page-table entries by {} ({}), {} by execmem ({})",
            entries(&now.mappings),
            today.name,
            leaves(&now.mappings),
            entries(&then.mappings),
            leaves(&then.mappings)
        )];
        if let (Some(now), Some(then)) = (&today.direct_map, &ours.direct_map) {
            sentences.push(format!(
                "Large pages that the direct map loses for good: {} by {}, {} by execmem",
                now.lost_for_good, today.name, then.lost_for_good
            ));
        }
        if now.wx_bytes > 0 {
            sentences.push(format!(
                "Writable and executable at once: {} KiB by {}, {} by execmem",
                now.wx_bytes >> 10,
                today.name,
                then.wx_bytes >> 10
            ));
        }
        sentences
    }

    /// What the values of a moment are of.
    pub(crate) fn moment_title(&self) -> String {
        match self.moment {
            "fullest" => "At the fullest moment of the trace".to_owned(),
            part => format!("With all {part} loaded"),
        }
    }

    /// What walks of the page tables were counted.
    pub(crate) fn walks(&self) -> String {
        let programs = if self.load.programs > 0 { ", and the same with calls of BPF programs only" } else { "" };
        format!(
            "Walks of the page tables with everything loaded, calls by Zipf's law: on an idle machine, with a program that \
             runs between the calls{programs}"
        )
    }

    /// Whether a direct map was simulated.
    pub(crate) fn has_direct_map(&self) -> bool {
        self.policies.iter().any(|policy| policy.direct_map.is_some())
    }
}

impl Outcome {
    /// Whether it may be compared, in words.
    pub(crate) fn comparable(&self) -> String {
        if self.is_comparable { "yes".to_owned() } else { format!("NO: {} refused", self.refused) }
    }

    /// Bytes mapped for one that was asked for.
    pub(crate) fn mapped_per_byte(&self) -> String {
        if self.is_comparable { per_thousand(self.bytes_mapped, self.bytes_requested) } else { NONE.to_owned() }
    }
}

fn moment(comparison: &Comparison) -> Grid {
    let mut header = vec!["policy", "entries", "mapped", "mapped per byte"];
    let with_direct_map = comparison.has_direct_map();
    if with_direct_map {
        header.push("direct map lost");
    }
    header.push("comparable");
    let mut grid = Grid::new(header);
    for policy in &comparison.policies {
        let mut row = vec![
            policy.name.to_owned(),
            leaves(&policy.mappings),
            format!("{} KiB", policy.bytes_mapped >> 10),
            policy.mapped_per_byte(),
        ];
        if with_direct_map {
            row.push(policy.direct_map.as_ref().map_or(NONE.to_owned(), |direct| direct.lost.to_string()));
        }
        row.push(policy.comparable());
        grid.row(row);
    }
    grid
}

fn whole_run(comparison: &Comparison) -> Grid {
    let mut header: Vec<_> = ["policy"].into_iter().chain(RUN.map(|(title, _)| title)).collect();
    let with_direct_map = comparison.has_direct_map();
    if with_direct_map {
        header.push("lost for good");
    }
    let mut grid = Grid::new(header).right_from(1);
    for policy in &comparison.policies {
        let mut row = vec![policy.name.to_owned()];
        row.extend(RUN.map(|(_, of)| of(policy).map_or(NONE.to_owned(), |count| count.to_string())));
        if with_direct_map {
            row.push(policy.direct_map.as_ref().map_or(NONE.to_owned(), |direct| direct.lost_for_good.to_string()));
        }
        grid.row(row);
    }
    grid
}

fn marks(comparison: &Comparison) -> Grid {
    let marks = comparison.policies.first().map_or(&[][..], |policy| &policy.marks);
    let mut grid = Grid::new(["policy"].into_iter().chain(marks.iter().map(|mark| mark.mark)));
    for policy in &comparison.policies {
        let cell = |mark: &Mark| {
            let lost =
                if policy.direct_map.is_some() { format!("\nlost {}", mark.direct_map_lost) } else { String::new() };
            let refused = if mark.refused > 0 { format!("\n{} refused", mark.refused) } else { String::new() };
            format!("{}{lost}{refused}", leaves(&mark.mappings))
        };
        grid.row([policy.name.to_owned()].into_iter().chain(policy.marks.iter().map(cell)));
    }
    grid
}

fn tlb(comparison: &Comparison) -> Grid {
    let columns = MISSES.iter().filter(|(title, _)| *title != OF_PROGRAMS || comparison.load.programs > 0);
    let columns: Vec<_> = columns.collect();
    let titles = columns.iter().map(|(title, _)| *title);
    let mut grid = Grid::new(["policy", "code entries", "data entries"].into_iter().chain(titles));
    let base = comparison.policies.first().filter(|policy| policy.is_comparable).and_then(|policy| policy.tlb.as_ref());
    for policy in &comparison.policies {
        let Some(tlb) = &policy.tlb else { continue };
        let share = |of: &fn(&TlbOutcome) -> u64| match base.filter(|_| policy.is_comparable) {
            Some(base) => format!("{} ({})", of(tlb), per_thousand(of(tlb), of(base))),
            None => NONE.to_owned(),
        };
        let counts = [policy.name.to_owned(), tlb.code_entries.to_string(), tlb.data_entries.to_string()];
        grid.row(counts.into_iter().chain(columns.iter().map(|(_, of)| share(of))));
    }
    grid
}

fn published() -> String {
    let parts = PUBLISHED.map(|(name, misses)| format!("{name} {misses}k/s ({})", per_thousand(misses.into(), 350)));
    parts.join(", ")
}

/// `1 × 2M + 3 × 4K`, largest first.
pub(crate) fn leaves(by_bytes: &BTreeMap<u64, u64>) -> String {
    let part = |(bytes, count): (&u64, &u64)| format!("{count} × {}", leaf_size(*bytes));
    let parts: Vec<_> = by_bytes.iter().rev().map(part).collect();
    if parts.is_empty() { "none".to_owned() } else { parts.join(" + ") }
}

/// The size of a leaf: `2M`.
pub(crate) fn leaf_size(bytes: u64) -> String {
    PageSize::from_bytes(bytes).map_or_else(|| bytes.to_string(), |size| size.to_string())
}

/// Leaves of all sizes.
pub(crate) fn entries(by_bytes: &BTreeMap<u64, u64>) -> u64 {
    by_bytes.values().sum()
}

/// A ratio with three decimals, by integers; of nothing there is none.
pub(crate) fn per_thousand(part: u64, whole: u64) -> String {
    match (u128::from(part) * 1000 + u128::from(whole) / 2).checked_div(u128::from(whole)) {
        Some(scaled) => format!("{}.{:03}", scaled / 1000, scaled % 1000),
        None => NONE.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_rounded_and_nothing_has_none() {
        assert_eq!(per_thousand(1, 3), "0.333");
        assert_eq!(per_thousand(2, 3), "0.667");
        assert_eq!(per_thousand(0, 3), "0.000");
        assert_eq!(per_thousand(5, 0), NONE);
        assert_eq!(per_thousand(u64::MAX, 1), "18446744073709551615.000");
    }

    #[test]
    fn leaves_are_listed_by_size() {
        assert_eq!(leaves(&BTreeMap::from([(4096, 3), (2 << 20, 1)])), "1 × 2M + 3 × 4K");
        assert_eq!(leaves(&BTreeMap::new()), "none");
    }
}
