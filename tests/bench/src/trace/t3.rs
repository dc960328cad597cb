//! T3, modules: 200 live of 8 to 512 KiB.

use execmem::Kind;

use super::{Plan, Timed};
use crate::random::Random;

pub(super) const PLAN: Plan = Plan {
    name: "T3",
    about: "200 live modules of 8 to 512 KiB, 2,000 replacements",
    kind: Kind::Text,
    threads: 1,
    live: 200,
    steps: 2_000,
    timed: Timed::Churn,
    size,
    max_bytes: 512 << 10,
};

fn size(random: &mut Random) -> usize {
    let octave = random.range(0, 6);
    random.range(8192 << octave, 16384 << octave)
}
