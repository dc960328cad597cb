//! The crate offset-allocator: two levels of bins. It knows no alignment, so what needs one gets room to shift.

use anyhow::Result;
use offset_allocator::{Allocation, Allocator};

use crate::ranges::replay::Ranges;

pub(crate) struct OffsetAllocator(Allocator);

impl Ranges for OffsetAllocator {
    type Token = Allocation;

    fn new(capacity: u64, max_live: usize) -> Result<Self> {
        // A node for each live range, and one for each hole between two of them.
        let nodes = u32::try_from(2 * max_live + 2)?;
        Ok(OffsetAllocator(Allocator::with_max_allocs(u32::try_from(capacity)?, nodes)))
    }

    fn alloc(&mut self, granules: u32, align: u32) -> Option<Allocation> {
        self.0.allocate(granules + align - 1)
    }

    fn free(&mut self, allocation: Allocation) {
        self.0.free(allocation);
    }

    fn position(&self, allocation: Allocation, align: u32) -> u64 {
        allocation.offset.next_multiple_of(align).into()
    }
}
