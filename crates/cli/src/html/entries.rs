//! Every page-table entry as a tile: what a policy costs, at a glance.

use std::collections::BTreeMap;

use maud::{Markup, html};

use super::tables::grouped;
use crate::compare::outcome::{Comparison, Outcome};
use crate::compare::{leaf_size, leaves};

/// Pixels of a small tile with its gap, and of a large one.
const SMALL: u64 = 4;
const LARGE: u64 = 20;
/// Width of a policy's tiles in pixels: whole tiles of both sizes.
const WIDTH: u64 = 160;
/// The most small tiles that a policy has; where there are more, each stands for several.
const MOST_TILES: u64 = 8000;

/// The section of all policies.
pub(crate) fn section(comparison: &Comparison) -> Markup {
    let counts = |outcome: &Outcome| outcome.fullest().map(|mark| mark.mappings.clone()).unwrap_or_default();
    let small = comparison.policies.iter().filter_map(|policy| counts(policy).values().copied().max()).max();
    let page = comparison.policies.iter().flat_map(|policy| counts(policy).into_keys()).min().unwrap_or(4096);
    let each = each(small.unwrap_or(0));
    html! {
        section aria-labelledby="entries-title" {
            h2 #entries-title { "Page-table entries with everything loaded" }
            p {
                "A small tile is " @if each == 1 { "one entry" } @else { (grouped(each)) " entries" } " of " (leaf_size(page))
                ", the smallest there is; a large tile is one of any larger size."
            }
            div .tiles {
                @for policy in &comparison.policies { (figure(policy, &counts(policy), page, each)) }
            }
        }
    }
}

/// How many entries a small tile stands for: 1, 2, 5, 10, 20, …
fn each(most: u64) -> u64 {
    let steps = (0..19).flat_map(|power| [1, 2, 5].map(|step| step * 10_u64.pow(power)));
    steps.into_iter().find(|each| most.div_ceil(*each) <= MOST_TILES).unwrap_or(u64::MAX)
}

fn figure(policy: &Outcome, counts: &BTreeMap<u64, u64>, page: u64, each: u64) -> Markup {
    let color = format!("--policy: var(--policy-{})", policy.name);
    let total = counts.values().sum();
    html! {
        figure style=(color) class=[(!policy.is_comparable).then_some("refused")] {
            figcaption {
                span .policy { (policy.name) }
                b { (grouped(total)) }
                span { (leaves(counts)) @if !policy.is_comparable { "; not comparable: " (policy.refused) " loads refused" } }
            }
            (tiles(policy.name, counts, page, each))
        }
    }
}

/// The tiles of a policy: large ones first. A pattern fills whole rows, so thousands of tiles are two rectangles.
fn tiles(name: &str, counts: &BTreeMap<u64, u64>, page: u64, each: u64) -> Markup {
    let large = counts.iter().filter(|(size, _)| **size > page).map(|(_, count)| *count).sum::<u64>();
    let small = counts.get(&page).map_or(0, |count| count.div_ceil(each));
    let large_each = large.div_ceil(MOST_TILES).max(1);
    let large_rows = rows(large.div_ceil(large_each), WIDTH / LARGE);
    let small_rows = rows(small, WIDTH / SMALL);
    let top = large_rows.iter().map(|(_, rows)| rows * LARGE).sum::<u64>();
    let height = top + small_rows.iter().map(|(_, rows)| rows * SMALL).sum::<u64>();
    let (large_id, small_id) = (format!("large-{name}"), format!("small-{name}"));
    html! {
        svg width=(WIDTH) height=(height.max(SMALL)) role="img" aria-label={ (name) ": " (leaves(counts)) } {
            defs {
                (pattern(&large_id, LARGE, 2))
                (pattern(&small_id, SMALL, 0))
            }
            (rectangles(&large_rows, LARGE, 0, &large_id))
            (rectangles(&small_rows, SMALL, top, &small_id))
        }
    }
}

fn pattern(id: &str, size: u64, radius: u64) -> Markup {
    html! {
        pattern id=(id) width=(size) height=(size) patternUnits="userSpaceOnUse" {
            rect width=(size - 1) height=(size - 1) rx=(radius) fill="var(--policy)" {}
        }
    }
}

/// Tiles in rows of so many: those of full rows, and the rest.
fn rows(tiles: u64, in_row: u64) -> Vec<(u64, u64)> {
    let full = (in_row, tiles / in_row);
    let rest = (tiles % in_row, 1);
    [full, rest].into_iter().filter(|(tiles, rows)| *tiles > 0 && *rows > 0).collect()
}

fn rectangles(rows: &[(u64, u64)], size: u64, top: u64, pattern: &str) -> Markup {
    let starts = rows.iter().scan(top, |next, (_, rows)| {
        let start = *next;
        *next += rows * size;
        Some(start)
    });
    html! {
        @for ((tiles, rows), start) in rows.iter().zip(starts) {
            rect y=(start) width=(tiles * size) height=(rows * size) fill={ "url(#" (pattern) ")" } {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_hold_every_tile_and_a_tile_stands_for_round_numbers() {
        for tiles in 0..200 {
            let rows = rows(tiles, 40);
            assert_eq!(rows.iter().map(|(tiles, rows)| tiles * rows).sum::<u64>(), tiles);
        }
        assert_eq!([0, 6571, 8001, 16_001, 400_000].map(each), [1, 1, 2, 5, 50]);
    }

    #[test]
    fn tiles_are_as_many_as_entries() {
        let counts = BTreeMap::from([(4096, 2961), (2 << 20, 5)]);
        let markup = tiles("linux", &counts, 4096, 1).into_string();
        // 5 large tiles in one row; 74 rows of 40 small ones, and one more.
        assert!(markup.contains("width=\"100\" height=\"20\""), "{markup}");
        assert!(
            markup.contains("width=\"160\" height=\"296\"") && markup.contains("width=\"4\" height=\"4\""),
            "{markup}"
        );
        assert!(markup.contains("height=\"320\"") && markup.contains("linux: 5 × 2M + 2961 × 4K"), "{markup}");
    }
}
