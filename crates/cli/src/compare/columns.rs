//! Columns that the tables of text and of the page have in common.

use super::in_place::NOW;
use super::outcome::{Outcome, TlbOutcome};

/// A title, and the value below it.
pub(crate) type Column<From, Value> = (&'static str, fn(&From) -> Value);

/// Of the whole run. Of a process as it is, nothing is known of how it came to be.
pub(crate) const RUN: [Column<Outcome, Option<u64>>; 5] = [
    ("refused", |policy| Some(policy.refused)),
    ("splits", |policy| ran(policy).map(|policy| policy.splits)),
    ("merges", |policy| ran(policy).map(|policy| policy.merges)),
    ("flushes", |policy| ran(policy).map(|policy| policy.flushes)),
    ("code syncs", |policy| ran(policy).map(|policy| policy.code_syncs)),
];

fn ran(policy: &Outcome) -> Option<&Outcome> {
    (policy.name != NOW).then_some(policy)
}

/// The column of [`MISSES`] that is empty without BPF programs.
pub(crate) const OF_PROGRAMS: &str = "iTLB programs";

/// Of translation caches, with everything loaded.
pub(crate) const MISSES: [Column<TlbOutcome, u64>; 5] = [
    ("iTLB", |tlb| tlb.idle.itlb_misses),
    ("dTLB", |tlb| tlb.idle.dtlb_misses),
    ("iTLB competing", |tlb| tlb.competing.itlb_misses),
    ("dTLB competing", |tlb| tlb.competing.dtlb_misses),
    (OF_PROGRAMS, |tlb| tlb.programs.itlb_misses),
];
