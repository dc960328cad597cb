//! The crate buddy_system_allocator: powers of two.

use std::alloc::Layout;

use anyhow::Result;
use buddy_system_allocator::FrameAllocator;

use crate::ranges::replay::Ranges;

pub(crate) struct Buddy(FrameAllocator);

impl Ranges for Buddy {
    type Token = (usize, Layout);

    fn new(capacity: u64, _: usize) -> Result<Self> {
        let mut frames = FrameAllocator::new();
        frames.add_frame(0, usize::try_from(capacity)?);
        Ok(Buddy(frames))
    }

    fn alloc(&mut self, granules: u32, align: u32) -> Option<Self::Token> {
        let layout = Layout::from_size_align(granules as usize, align as usize).ok()?;
        Some((self.0.alloc_aligned(layout)?, layout))
    }

    fn free(&mut self, (start, layout): Self::Token) {
        self.0.dealloc_aligned(start, layout);
    }

    fn position(&self, (start, _): Self::Token, _: u32) -> u64 {
        start as u64
    }
}
