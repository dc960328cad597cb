//! A block: one mapping obtained from the backend.

use execmem_types::{Extent, PageSize};

/// One mapping obtained from the backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Block {
    /// What is mapped.
    pub(crate) extent: Extent,
    /// In leaves of this size.
    pub(crate) page: PageSize,
    /// The addresses that are reserved for it, more than `extent` while it grows.
    pub(crate) reserved: Extent,
    /// Nothing in it is live.
    pub(crate) is_empty: bool,
    /// Bytes in holes, when last [counted](super::drain).
    pub(crate) free: u64,
    /// Allocations in it that are not sealed yet, where the kind seals by block.
    pub(crate) open: u32,
    /// It is read-only until the next allocation in it, where the kind seals by block.
    pub(crate) is_closed: bool,
}

/// A block that is not complete, and where a request would end if it began in its free tail.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tail {
    pub(crate) block: Block,
    /// First address after the request.
    pub(crate) end: u128,
}

impl Block {
    /// A fresh block.
    pub(crate) const fn new(extent: Extent, page: PageSize, reserved: Extent) -> Self {
        Block { extent, page, reserved, is_empty: true, free: 0, open: 0, is_closed: false }
    }

    /// Whether it holds the start of its reservation, rather than continuing a block that does.
    pub(crate) const fn owns_reservation(&self) -> bool {
        self.extent.start() == self.reserved.start()
    }

    /// Whether it is writable with no allocation that is written, where the kind seals by block.
    pub(crate) const fn is_idle(&self) -> bool {
        self.open == 0 && !self.is_closed
    }

    /// Whether all of its reservation is mapped.
    pub(crate) const fn is_complete(&self) -> bool {
        self.extent.len() == self.reserved.len()
    }
}

/// Blocks in order of address.
pub(crate) trait Ordered {
    /// Index of the first block that ends after an address.
    fn first_after(&self, address: u64) -> usize;

    /// The blocks that an extent touches.
    fn touched(&mut self, extent: Extent) -> &mut [Block];
}

impl Ordered for [Block] {
    fn first_after(&self, address: u64) -> usize {
        self.partition_point(|block| block.extent.last() < address)
    }

    fn touched(&mut self, extent: Extent) -> &mut [Block] {
        let first = self.first_after(extent.start());
        let count = self[first..].iter().take_while(|block| block.extent.start() <= extent.last()).count();
        &mut self[first..first + count]
    }
}

/// Two extents, the second right after the first, as one.
pub(crate) fn joined(first: Extent, second: Extent) -> Extent {
    Extent::between(first.start(), second.end()).unwrap_or(first)
}

/// What is left of an extent without a tail of it; `None` if `tail` is none.
pub(crate) fn without_tail(extent: Extent, tail: Extent) -> Option<Extent> {
    (extent.last() == tail.last()).then(|| Extent::between(extent.start(), tail.start().into())).flatten()
}
