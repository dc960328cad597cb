//! Free frames: blocks of 2ⁿ frames, split when taken and merged with their buddy when given back.

use std::collections::BTreeSet;

/// Number of a frame.
pub(crate) type Frame = u64;

/// A block of the largest order has 2²⁰ frames.
pub(crate) const MAX_ORDER: u32 = 20;

/// The free frames of a stretch of memory. Frames above `next` were never used and are not listed.
#[derive(Debug)]
pub(crate) struct Buddy {
    /// Free blocks by order.
    free: Vec<BTreeSet<Frame>>,
    next: Frame,
    limit: Frame,
    max_order: u32,
}

impl Buddy {
    /// The frames from `start` up to, but not including, `limit`.
    pub(crate) fn new(start: Frame, limit: Frame, max_order: u32) -> Self {
        let orders = usize::try_from(max_order).unwrap_or(0) + 1;
        Buddy { free: vec![BTreeSet::new(); orders], next: start, limit, max_order }
    }

    /// Takes 2ⁿ frames in a row, aligned to their number: from the smallest block that has them.
    pub(crate) fn take(&mut self, order: u32) -> Option<Frame> {
        let fitting = (order..=self.max_order).find(|order| !self.list(*order).is_empty());
        let found = match fitting {
            Some(order) => order,
            None => self.extend_to(order)?,
        };
        let frame = self.list(found).pop_first()?;
        for smaller in (order..found).rev() {
            self.list(smaller).insert(frame + (1 << smaller));
        }
        Some(frame)
    }

    /// Gives 2ⁿ frames back.
    pub(crate) fn give(&mut self, mut frame: Frame, mut order: u32) {
        while order < self.max_order && self.list(order).remove(&(frame ^ (1 << order))) {
            frame &= !(1 << order);
            order += 1;
        }
        self.list(order).insert(frame);
    }

    /// Takes exactly this block, if it is one of the free list.
    pub(crate) fn take_exactly(&mut self, frame: Frame, order: u32) -> bool {
        order <= self.max_order && self.list(order).remove(&frame)
    }

    /// Lists the next blocks of memory that was never used, until one has the order.
    fn extend_to(&mut self, order: u32) -> Option<u32> {
        if order > self.max_order {
            return None;
        }
        while self.next < self.limit {
            let aligned = if self.next == 0 { self.max_order } else { self.next.trailing_zeros() };
            let next = aligned.min((self.limit - self.next).ilog2()).min(self.max_order);
            let frame = self.next;
            self.next += 1 << next;
            self.give(frame, next);
            if let Some(found) = (order..=self.max_order).find(|order| !self.list(*order).is_empty()) {
                return Some(found);
            }
        }
        None
    }

    fn list(&mut self, order: u32) -> &mut BTreeSet<Frame> {
        let last = self.free.len() - 1;
        &mut self.free[usize::try_from(order).unwrap_or(last).min(last)]
    }

    /// Free frames, those never used among them.
    pub(crate) fn free_frames(&self) -> u64 {
        let listed: u64 = (0..).zip(&self.free).map(|(order, blocks)| (blocks.len() as u64) << order).sum();
        listed + (self.limit - self.next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_back_as_one_block() {
        let mut buddy = Buddy::new(0, 1024, 9);
        let small = buddy.take(0).expect("room");
        let large = buddy.take(9).expect("room");
        assert_eq!((small, large, buddy.free_frames()), (0, 512, 511));
        assert_eq!(buddy.take(9), None, "the rest is not in one block");
        buddy.give(small, 0);
        buddy.give(large, 9);
        assert_eq!((buddy.take(9), buddy.take(9), buddy.take(0)), (Some(0), Some(512), None));
    }

    #[test]
    fn memory_of_any_size_is_used_to_the_last_frame() {
        let mut buddy = Buddy::new(3, 1003, 9);
        let taken: BTreeSet<_> = std::iter::from_fn(|| buddy.take(0)).collect();
        assert_eq!((taken.len(), taken.first(), taken.last()), (1000, Some(&3), Some(&1002)));
        assert_eq!(buddy.free_frames(), 0);
        taken.into_iter().for_each(|frame| buddy.give(frame, 0));
        assert_eq!(buddy.free_frames(), 1000);
        assert_eq!(buddy.take(8), Some(256));
        assert!(buddy.take_exactly(512, 8) && !buddy.take_exactly(512, 8));
    }

    #[test]
    fn the_smallest_block_that_fits_is_split() {
        let mut buddy = Buddy::new(0, 512, 9);
        let first = buddy.take(3).expect("room");
        assert_eq!(buddy.take(0), Some(8), "from the block of order 3 beside the first");
        buddy.give(first, 3);
        assert_eq!(buddy.take(3), Some(0));
    }
}
