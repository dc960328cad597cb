//! R5: look-up of the range that contains an address, after the fill and churn of R1.

use super::ops::{self, Ops};
use super::{COUNTS, Plan, sizes};

pub(super) const PLAN: Plan =
    Plan { name: "R5", about: "look-up of random addresses inside live ranges", counts: COUNTS, make };

const LOOKUPS: usize = 500_000;

fn make(count: usize) -> Ops {
    let mut random = ops::random(5, count);
    let mut ops = ops::churn(&mut random, count, count, sizes::bpf);
    ops.start_timing();
    let small = |value: usize| u32::try_from(value).unwrap_or(u32::MAX);
    let lookup = |_| (small(random.below(count)), small(random.below(1 << 32)));
    ops.lookups = (0..LOOKUPS).map(lookup).collect();
    ops
}
