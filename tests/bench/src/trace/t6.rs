//! T6, closures: 100,000 small pieces that their owners know by address alone, made, then dropped in random order. Once
//! with handles beside, which is less work.

use execmem::Kind;

use super::{Plan, Timed};

pub(super) const PLAN: Plan = Plan {
    name: "T6",
    about: "100,000 closures of 48 to 128 bytes, made, then dropped in random order by address",
    kind: Kind::Text,
    threads: 1,
    live: 100_000,
    steps: 0,
    timed: Timed::FillAndEmpty,
    size: |random| random.range(48, 129),
    max_bytes: 128,
};
