//! R4: three layouts made to be hard.

use super::ops::{self, Ops};
use super::{COUNTS, GRANULE, Plan};

/// Every hole is too short.
pub(super) const NO_HOLE: Plan =
    Plan { name: "R4a", about: "every second range of 64 bytes free, requests of 128", counts: COUNTS, make: no_hole };
/// Every request fits one length of hole exactly.
pub(super) const TIGHT: Plan = Plan {
    name: "R4b",
    about: "holes of 32 lengths between pins, the same lengths again in random order",
    counts: COUNTS,
    make: tight,
};
/// Every hole is long enough, none has an aligned place.
pub(super) const MISALIGNED: Plan = Plan {
    name: "R4c",
    about: "holes of 8,128 bytes, requests of 4,096 aligned to 8,192",
    counts: COUNTS,
    make: misaligned,
};

/// Requests, each freed at once, in the first and the last.
const fn probes(count: usize) -> usize {
    if count < 10_000 { 2 * count } else { 20_000 }
}

fn no_hole(count: usize) -> Ops {
    let mut ops = Ops::default();
    (0..count).for_each(|slot| ops.alloc(slot, GRANULE, GRANULE));
    (0..count).step_by(2).for_each(|slot| ops.free(slot));
    probe(ops, count, 2 * GRANULE, GRANULE)
}

fn misaligned(count: usize) -> Ops {
    let mut ops = Ops::default();
    for pair in 0..count {
        ops.alloc(2 * pair, GRANULE, GRANULE);
        ops.alloc(2 * pair + 1, 8192 - GRANULE, GRANULE);
    }
    (0..count).for_each(|pair| ops.free(2 * pair + 1));
    probe(ops, count, 4096, 8192)
}

fn probe(mut ops: Ops, count: usize, bytes: usize, align: usize) -> Ops {
    let slot = ops.slots;
    ops.start_timing();
    for _ in 0..probes(count) {
        ops.alloc(slot, bytes, align);
        ops.free(slot);
    }
    ops
}

fn tight(count: usize) -> Ops {
    let (mut random, mut ops) = (ops::random(42, count), Ops::default());
    let body = |pair: usize| GRANULE * (1 + pair % 32);
    for pair in 0..count {
        ops.alloc(2 * pair, GRANULE, GRANULE);
        ops.alloc(2 * pair + 1, body(pair), GRANULE);
    }
    ops.start_timing();
    (0..count).for_each(|pair| ops.free(2 * pair + 1));
    let mut order: Vec<_> = (0..count).collect();
    random.shuffle(&mut order);
    order.into_iter().for_each(|pair| ops.alloc(2 * pair + 1, body(pair), GRANULE));
    ops
}
