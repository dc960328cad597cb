//! The operations of a trace, made once and replayed by every allocator.

use super::GRANULE;
use crate::random::{Random, SEED};

/// One operation on a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Op {
    pub(super) slot: u32,
    /// Length in granules; 0 frees the slot.
    pub(super) granules: u32,
    /// Alignment in granules, a power of two.
    pub(super) align: u32,
}

/// A trace.
#[derive(Debug, Clone, Default)]
pub(super) struct Ops {
    pub(super) ops: Vec<Op>,
    /// The first operation that is timed.
    pub(super) timed_from: usize,
    pub(super) slots: usize,
    /// Slots to look up, and how far into their ranges in parts of 2³².
    pub(super) lookups: Vec<(u32, u32)>,
}

/// The seed of a trace of an identifier and a number of ranges.
pub(super) const fn random(id: u64, count: usize) -> Random {
    Random::new(SEED ^ (id << 40) ^ count as u64)
}

impl Ops {
    /// Allocates `bytes` in a slot, aligned to `align` bytes.
    pub(super) fn alloc(&mut self, slot: usize, bytes: usize, align: usize) {
        self.push(slot, bytes.div_ceil(GRANULE), align / GRANULE);
        self.slots = self.slots.max(slot + 1);
    }

    /// Frees a slot.
    pub(super) fn free(&mut self, slot: usize) {
        self.push(slot, 0, 1);
    }

    /// What follows is timed.
    pub(super) fn start_timing(&mut self) {
        self.timed_from = self.ops.len();
    }

    /// The same with at most `steps` timed operations.
    pub(super) fn cut(mut self, steps: usize) -> Self {
        self.ops.truncate(self.timed_from + steps);
        self
    }

    /// The most granules live at a time, and the most ranges.
    pub(super) fn peak(&self) -> (u64, usize) {
        let mut lengths = vec![0_u64; self.slots];
        let (mut live, mut count) = (0, 0_usize);
        let mut peak = (0, 0);
        for op in &self.ops {
            let length = &mut lengths[op.slot as usize];
            count = count + usize::from(op.granules > 0) - usize::from(*length > 0);
            live = live + u64::from(op.granules) - *length;
            *length = op.granules.into();
            peak = (live.max(peak.0), count.max(peak.1));
        }
        peak
    }

    /// The last operation on every slot.
    pub(super) fn last(&self) -> Vec<Op> {
        let mut last = vec![Op { slot: 0, granules: 0, align: 1 }; self.slots];
        self.ops.iter().for_each(|op| last[op.slot as usize] = *op);
        last
    }

    fn push(&mut self, slot: usize, granules: usize, align: usize) {
        let small = |value: usize| u32::try_from(value).unwrap_or(u32::MAX);
        self.ops.push(Op { slot: small(slot), granules: small(granules), align: small(align.max(1)) });
    }
}

/// Fills `count` slots and then replaces random ones: the shape of R1 and R2. `draw` returns bytes and alignment.
pub(super) fn churn(random: &mut Random, count: usize, pairs: usize, draw: fn(&mut Random) -> (usize, usize)) -> Ops {
    let mut ops = Ops::default();
    for slot in 0..count {
        let (bytes, align) = draw(random);
        ops.alloc(slot, bytes, align);
    }
    ops.start_timing();
    for _ in 0..pairs {
        let slot = random.below(count);
        let (bytes, align) = draw(random);
        ops.free(slot);
        ops.alloc(slot, bytes, align);
    }
    ops
}
