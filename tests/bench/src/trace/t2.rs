//! T2, trampolines: 100,000 small functions, all installed, then all freed in random order.

use execmem::Kind;

use super::{Plan, Timed};

pub(super) const PLAN: Plan = Plan {
    name: "T2",
    about: "100,000 trampolines of 64 to 256 bytes, installed, then freed in random order",
    kind: Kind::Ftrace,
    threads: 1,
    live: 100_000,
    steps: 0,
    timed: Timed::FillAndEmpty,
    size: |random| random.range(64, 257),
    max_bytes: 256,
};
