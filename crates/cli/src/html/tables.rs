//! The tables of the report: in the page as they are, with a bar under each number.

use maud::{Markup, html};

use crate::compare::columns::{MISSES, OF_PROGRAMS, RUN};
use crate::compare::leaves;
use crate::compare::outcome::{Comparison, Mark, Outcome, TlbOutcome};

/// A cell: text, and the share of the longest bar that it has.
#[derive(Debug, Clone)]
pub(crate) struct Cell {
    text: String,
    /// A second line.
    more: String,
    is_number: bool,
    share: Option<f64>,
    /// The policy whose colour the bar has.
    policy: &'static str,
}

impl Cell {
    pub(crate) fn text(text: &str) -> Self {
        Cell { text: text.to_owned(), more: String::new(), is_number: false, share: None, policy: "" }
    }

    pub(crate) fn count(count: u64) -> Self {
        Cell { is_number: true, ..Cell::text(&grouped(count)) }
    }

    fn bar(mut self, policy: &'static str, part: f64, most: f64) -> Self {
        self.share = (most > 0.0).then_some(part / most * 100.0);
        self.policy = policy;
        self
    }
}

/// A number as people read it: `12,345`.
pub(crate) fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A table that can be scrolled where it is too wide.
pub(crate) fn table(header: &[&str], rows: &[Vec<Cell>], label: &str) -> Markup {
    html! {
        div .scroll tabindex="0" role="region" aria-label={ "Table: " (label) } {
            table {
                thead { tr { @for title in header { th scope="col" { (title) } } } }
                tbody { @for row in rows { tr { @for (index, cell) in row.iter().enumerate() { (td(cell, index == 0)) } } } }
            }
        }
    }
}

fn td(cell: &Cell, is_head: bool) -> Markup {
    let bar = cell.share.map(|share| format!("--share: {share:.2}%; --bar: var(--policy-{})", cell.policy));
    let class = match (cell.is_number, bar.is_some()) {
        (true, true) => Some("number bar"),
        (true, false) => Some("number"),
        _ => None,
    };
    html! {
        @if is_head { th scope="row" class=[class] { (cell.text) } }
        @else { td class=[class] style=[bar] { (cell.text) @if !cell.more.is_empty() { small { (cell.more) } } } }
    }
}

/// A column: its title, and the value of a policy with its text. `None` is shown as a dash.
type Column<'a> = (&'a str, Box<dyn Fn(&Outcome) -> Option<(f64, String)> + 'a>);

#[expect(clippy::cast_precision_loss, reason = "the length of a bar")]
fn counted<'a>(title: &'a str, of: impl Fn(&Outcome) -> Option<u64> + 'a) -> Column<'a> {
    (title, Box::new(move |outcome| of(outcome).map(|count| (count as f64, grouped(count)))))
}

/// One row a policy. A policy that refused something has no bars, and says so in the last column.
fn by_policy(comparison: &Comparison, columns: &[Column<'_>], label: &str) -> Markup {
    let header: Vec<_> =
        ["policy"].into_iter().chain(columns.iter().map(|column| column.0)).chain(["comparable"]).collect();
    let values = |policy: &Outcome| columns.iter().map(|column| column.1(policy)).collect::<Vec<_>>();
    let all: Vec<_> = comparison.policies.iter().map(|policy| (policy, values(policy))).collect();
    let most = |index: usize| {
        let comparable = all.iter().filter(|(policy, _)| policy.is_comparable);
        comparable.filter_map(|(_, values)| Some(values[index].as_ref()?.0)).fold(0.0, f64::max)
    };
    let rows: Vec<Vec<Cell>> = all
        .iter()
        .map(|(policy, values)| {
            let cell = |(index, value): (usize, &Option<(f64, String)>)| match value {
                None => Cell::text("–"),
                Some((part, text)) => {
                    let cell = Cell { is_number: true, ..Cell::text(text) };
                    if policy.is_comparable { cell.bar(policy.name, *part, most(index)) } else { cell }
                }
            };
            let cells = values.iter().enumerate().map(cell);
            [Cell::text(policy.name)].into_iter().chain(cells).chain([Cell::text(&policy.comparable())]).collect()
        })
        .collect();
    table(&header, &rows, label)
}

/// Every table of a comparison.
pub(crate) fn sections(comparison: &Comparison) -> Markup {
    html! {
        section aria-labelledby="moment-title" {
            h2 #moment-title { (comparison.moment_title()) }
            p { "Values of that moment." }
            (moment(comparison))
        }
        section aria-labelledby="run-title" {
            h2 #run-title { "Over the whole run" }
            p {
                "Sums from boot until everything is unloaded. A code sync tells instruction fetch of new bytes: here "
                @match comparison.machine.code_sync {
                    "interrupt" => "each is an interrupt of every other processor.",
                    "broadcast" => "each is an instruction that reaches all processors.",
                    _ => "processors see them by themselves.",
                }
            }
            (whole_run(comparison))
            @if comparison.has_direct_map() { figure #history .drawn {} }
        }
        section aria-labelledby="marks-title" {
            h2 #marks-title { "After each part of the run" }
            p { "Page-table entries" @if comparison.has_direct_map() { ", and large pages that the direct map has lost" } "." }
            (marks(comparison))
        }
        (tlb(comparison))
    }
}

fn moment(comparison: &Comparison) -> Markup {
    let entries: Column<'_> =
        ("entries", Box::new(|policy| Some((ratio(policy.mappings.values().sum(), 1), leaves(&policy.mappings)))));
    let per_byte: Column<'_> = (
        "mapped per byte asked",
        Box::new(|policy| Some((ratio(policy.bytes_mapped, policy.bytes_requested), policy.mapped_per_byte()))),
    );
    let mut columns = vec![entries, counted("KiB mapped", |policy| Some(policy.bytes_mapped >> 10)), per_byte];
    if comparison.has_direct_map() {
        columns.push(counted("direct map lost", |policy| Some(policy.direct_map.as_ref()?.lost)));
    }
    by_policy(comparison, &columns, "Values of the moment")
}

fn whole_run(comparison: &Comparison) -> Markup {
    let mut columns: Vec<_> = RUN.into_iter().map(|(title, of)| counted(title, of)).collect();
    if comparison.has_direct_map() {
        columns.push(counted("direct map lost for good", |policy| Some(policy.direct_map.as_ref()?.lost_for_good)));
    }
    by_policy(comparison, &columns, "Values of the whole run")
}

fn marks(comparison: &Comparison) -> Markup {
    let marks = comparison.policies.first().map_or(&[][..], |policy| &policy.marks);
    let header: Vec<_> = ["policy"].into_iter().chain(marks.iter().map(|mark| mark.mark)).collect();
    let cell = |policy: &Outcome, mark: &Mark| {
        let lost = policy.direct_map.as_ref().map(|_| format!("lost {}", mark.direct_map_lost));
        let refused = (mark.refused > 0).then(|| format!("{} refused", mark.refused));
        let more = lost.into_iter().chain(refused).collect::<Vec<_>>().join(", ");
        Cell { more, ..Cell::text(&leaves(&mark.mappings)) }
    };
    let row = |policy: &Outcome| {
        [Cell::text(policy.name)].into_iter().chain(policy.marks.iter().map(|mark| cell(policy, mark))).collect()
    };
    table(&header, &comparison.policies.iter().map(row).collect::<Vec<_>>(), "Entries after each part of the run")
}

fn tlb(comparison: &Comparison) -> Markup {
    let Some(source) = &comparison.machine.tlb_source else { return Markup::default() };
    let of = |of: fn(&TlbOutcome) -> u64| move |policy: &Outcome| policy.tlb.as_ref().map(of);
    let mut columns =
        vec![counted("code entries", of(|tlb| tlb.code_entries)), counted("data entries", of(|tlb| tlb.data_entries))];
    let shown = MISSES.iter().filter(|(title, _)| *title != OF_PROGRAMS || comparison.load.programs > 0);
    columns.extend(shown.map(|(title, misses)| counted(title, of(*misses))));
    html! {
        section aria-labelledby="tlb-title" {
            h2 #tlb-title { "Walks of the page tables" }
            p { (comparison.walks()) ". Translation caches: " (source) "." }
            (by_policy(comparison, &columns, "Walks of the page tables"))
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "the length of a bar")]
fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_and_names_are_escaped() {
        assert_eq!([0, 999, 1000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
        let rows = [vec![Cell::text("<b>&\"'")]];
        let markup = table(&["<i>"], &rows, "\"><script>").into_string();
        assert!(markup.contains("&lt;b&gt;&amp;&quot;") && markup.contains("&lt;i&gt;"), "{markup}");
        assert!(!markup.contains("<script>") && !markup.contains("\"><s"), "{markup}");
    }
}
