//! T5: T1's programs, replaced by one thread and freed by another, as collectors of garbage do.

use super::{Plan, Timed, t1};

pub(super) const PLAN: Plan = Plan {
    name: "T5",
    about: "10,000 live BPF-like programs, 100,000 replaced by one thread and freed by another, 64 at a time",
    steps: 100_000,
    timed: Timed::Collected,
    ..t1::PLAN
};
