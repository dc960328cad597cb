//! R1: BPF-like programs replaced at random.

use super::{Plan, ops, sizes};

pub(super) const PLAN: Plan = Plan {
    name: "R1",
    about: "BPF-like lengths, random replacement",
    counts: &[10_000, 100_000, 1_000_000],
    make: |count| ops::churn(&mut ops::random(1, count), count, pairs(count), sizes::bpf),
};

/// Replacements for a number of ranges.
pub(super) fn pairs(count: usize) -> usize {
    if count < 10_000 { 3 * count } else { (3 * count).clamp(100_000, 2_000_000) }
}
