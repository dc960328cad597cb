//! R3: modules that come and go in bursts of a tenth.

use super::ops::{self, Ops};
use super::{COUNTS, Plan, sizes};

pub(super) const PLAN: Plan =
    Plan { name: "R3", about: "modules of 8 to 512 KiB in bursts of a tenth", counts: COUNTS, make };

/// Bursts.
const BURSTS: usize = 30;

fn make(count: usize) -> Ops {
    let (mut random, mut ops) = (ops::random(3, count), Ops::default());
    for slot in 0..count {
        let (bytes, align) = sizes::module(&mut random);
        ops.alloc(slot, bytes, align);
    }
    ops.start_timing();
    let mut order: Vec<_> = (0..count).collect();
    for _ in 0..BURSTS {
        random.shuffle(&mut order);
        let burst = &order[..count / 10];
        burst.iter().for_each(|slot| ops.free(*slot));
        for slot in burst {
            let (bytes, align) = sizes::module(&mut random);
            ops.alloc(*slot, bytes, align);
        }
    }
    ops
}
