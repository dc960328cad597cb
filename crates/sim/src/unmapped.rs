//! A cache of frames that the direct map does not show, so that taking some of them splits nothing.
//!
//! It is filled with whole units, large pages of the machine, each of which leaves the direct map as one leaf;
//! where memory has none that large, with smaller blocks. A unit that is free again goes back as it came when asked to.

use std::collections::BTreeMap;

use crate::buddy::{Buddy, Frame, MAX_ORDER};
use crate::direct::{Alias, DirectChange, DirectMap};
use crate::memory::Memory;

/// A block that was taken from memory.
#[derive(Debug)]
struct Unit {
    order: u32,
    /// Frames of it that are free.
    free: u64,
}

/// The cache.
#[derive(Debug)]
pub(crate) struct UnmappedCache {
    free: Buddy,
    /// By first frame.
    units: BTreeMap<Frame, Unit>,
    unit_order: u32,
}

impl UnmappedCache {
    /// A cache that is filled by 2ⁿ frames.
    pub(crate) fn new(unit_order: u32) -> Self {
        UnmappedCache { free: Buddy::new(0, 0, MAX_ORDER), units: BTreeMap::new(), unit_order }
    }

    /// Takes frames in a row, filling the cache if it has none.
    pub(crate) fn take(
        &mut self,
        count: u64,
        node: usize,
        memory: &mut Memory,
        direct: &mut DirectMap,
        change: &mut DirectChange,
    ) -> Option<Frame> {
        let order = count.ilog2();
        let frame = match self.free.take(order) {
            Some(frame) => frame,
            None => {
                self.fill(order, node, memory, direct, change)?;
                self.free.take(order)?
            }
        };
        self.account(frame, count, false);
        Some(frame)
    }

    /// Takes frames back. They stay out of the direct map.
    pub(crate) fn give(&mut self, first: Frame, count: u64) {
        self.account(first, count, true);
        self.free.give(first, count.ilog2());
    }

    /// Gives units of which nothing is used back to memory and the direct map. Returns the number of frames.
    pub(crate) fn shrink(&mut self, memory: &mut Memory, direct: &mut DirectMap, change: &mut DirectChange) -> u64 {
        let is_free = |unit: &Unit| unit.free == 1 << unit.order;
        let free: Vec<_> =
            self.units.iter().filter(|(_, unit)| is_free(unit)).map(|(&at, unit)| (at, unit.order)).collect();
        for &(start, order) in &free {
            self.carve(start, order);
            self.units.remove(&start);
            add(change, direct.set(start, 1 << order, Alias::ReadWrite));
            memory.give_back(start, 1 << order);
        }
        free.iter().map(|(_, order)| 1 << order).sum()
    }

    /// Frames in the cache: of all units, and of those that are free.
    pub(crate) fn frames(&self) -> (u64, u64) {
        (self.units.values().map(|unit| 1 << unit.order).sum(), self.units.values().map(|unit| unit.free).sum())
    }

    fn fill(
        &mut self,
        order: u32,
        node: usize,
        memory: &mut Memory,
        direct: &mut DirectMap,
        change: &mut DirectChange,
    ) -> Option<()> {
        let orders = (order..=self.unit_order.max(order)).rev();
        let (start, order) = orders.into_iter().find_map(|order| Some((memory.take(1 << order, node)?, order)))?;
        add(change, direct.set(start, 1 << order, Alias::Absent));
        self.units.insert(start, Unit { order, free: 1 << order });
        self.free.give(start, order);
        Some(())
    }

    /// Takes a free unit out of the free blocks, which may have merged it with its neighbours.
    fn carve(&mut self, start: Frame, order: u32) {
        let holds = |larger: &u32| self.free.take_exactly(start >> larger << larger, *larger);
        let Some(found) = (order..=MAX_ORDER).find(holds) else {
            panic!("I1: a unit of which all frames are free is not among the free blocks");
        };
        for half in (order..found).rev() {
            self.free.give((start >> half << half) ^ (1 << half), half);
        }
    }

    fn account(&mut self, first: Frame, count: u64, is_given: bool) {
        let mut frame = first;
        while frame < first + count {
            let Some((&start, unit)) = self.units.range_mut(..=frame).next_back() else { return };
            let end = (start + (1 << unit.order)).min(first + count);
            unit.free = if is_given { unit.free + (end - frame) } else { unit.free - (end - frame) };
            frame = end;
        }
    }
}

/// Adds a change to a sum.
pub(crate) fn add(sum: &mut DirectChange, change: DirectChange) {
    sum.leaves += change.leaves;
    sum.splits += change.splits;
    sum.merges += change.merges;
    sum.drifts += change.drifts;
}

#[cfg(test)]
mod tests {
    use execmem_arch_x86::TABLE;
    use execmem_types::PageSize;

    use super::*;
    use crate::direct::Merge;

    fn world(frames: u64) -> (Memory, DirectMap, UnmappedCache, DirectChange) {
        let direct = DirectMap::new(TABLE.machine(), frames, PageSize::mib(2), Merge::Explicit);
        (Memory::new(4096, 1, frames), direct, UnmappedCache::new(9), DirectChange::default())
    }

    #[test]
    fn units_leave_the_direct_map_and_come_back_whole() {
        let (mut memory, mut direct, mut cache, mut change) = world(4096);
        let mut take = |cache: &mut UnmappedCache, count| {
            cache.take(count, 0, &mut memory, &mut direct, &mut change).expect("room")
        };
        let small: Vec<_> = (0..600).map(|_| take(&mut cache, 1)).collect();
        let large = take(&mut cache, 512);
        assert_eq!(cache.frames(), (1536, 424));
        small.into_iter().for_each(|frame| cache.give(frame, 1));
        assert_eq!(cache.shrink(&mut memory, &mut direct, &mut change), 1024);
        cache.give(large, 512);
        assert_eq!(cache.shrink(&mut memory, &mut direct, &mut change), 512);
        assert_eq!((change.splits, change.merges, change.leaves), (0, 0, 6));
        assert_eq!((memory.free_frames(), direct.count()[&PageSize::mib(2)]), (4096, 8));
    }

    #[test]
    fn smaller_blocks_do_where_there_is_no_whole_unit() {
        let (mut memory, mut direct, mut cache, mut change) = world(1024);
        let held: Vec<_> = (0..4).map(|_| memory.take(256, 0).expect("room")).collect();
        memory.give_back(held[1], 256);
        memory.give_back(held[2], 256);
        let frame = cache.take(1, 0, &mut memory, &mut direct, &mut change).expect("room");
        assert_eq!((cache.frames(), change.splits), ((256, 255), 1));
        cache.give(frame, 1);
        assert_eq!(cache.shrink(&mut memory, &mut direct, &mut change), 256);
        assert_eq!(memory.free_frames(), 512);
    }
}
