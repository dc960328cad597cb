//! T1, a fleet of BPF programs: 10,000 live, half of them below 500 bytes, few up to 64 KiB.

use execmem::Kind;

use super::{Plan, Timed};
use crate::random::Random;

pub(super) const PLAN: Plan = Plan {
    name: "T1",
    about: "10,000 live BPF-like programs, 200,000 replacements",
    kind: Kind::Bpf,
    threads: 1,
    live: 10_000,
    steps: 200_000,
    timed: Timed::Churn,
    size,
    max_bytes: MAX_BYTES,
};

pub(super) const MAX_BYTES: usize = 65_536;

/// Median 503 bytes, 99 of 100 up to 30,700.
pub(super) fn size(random: &mut Random) -> usize {
    match random.range(0, 100) {
        0..50 => random.range(64, 500),
        50..75 => random.range(500, 2048),
        _ => {
            let octave = match random.range(0, 31) {
                0..16 => 0,
                16..24 => 1,
                24..28 => 2,
                28..30 => 3,
                _ => 4,
            };
            random.range(2048 << octave, 4096 << octave)
        }
    }
}
