//! R2: like R1 with alignments up to 2 MiB.

use super::{COUNTS, Plan, ops, r1, sizes};

pub(super) const PLAN: Plan = Plan {
    name: "R2",
    about: "mixed lengths and alignments, random replacement",
    counts: COUNTS,
    make: |count| ops::churn(&mut ops::random(2, count), count, r1::pairs(count), sizes::mixed),
};
