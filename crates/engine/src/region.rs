//! The blocks of one pool in one window, and the ranges carved from them.

use alloc::vec::Vec;
use core::ops::Range;

use execmem_range::{Arena, Freed, Request};
use execmem_types::{Extent, Kind, PageSize, PowerOfTwo};
use smallvec::SmallVec;

use crate::Error;

/// Empty blocks that are kept for the next allocation, so that a load at the edge of a block maps nothing.
const SPARE_BLOCKS: usize = 1;

/// Small ranges kept ready may take one part in 32 of the live bytes.
const READY_SHARE_LOG2: u32 = 5;

/// Ready ranges that a free merges with their neighbours while they are more than their share, so that memory whose
/// users go away becomes empty blocks again.
const SETTLED_PER_FREE: usize = 2;

/// What is looked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Want {
    pub(crate) kind: Kind,
    /// Bytes, a multiple of the quantum of the kind.
    pub(crate) len: u64,
    pub(crate) align: PowerOfTwo,
    pub(crate) requested: u64,
}

/// A block that is not complete, and where a request would end if it began in its free tail.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tail {
    pub(crate) block: Block,
    /// First address after the request.
    pub(crate) end: u128,
}

/// One mapping obtained from the backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Block {
    /// What is mapped.
    pub(crate) extent: Extent,
    /// In leaves of this size.
    pub(crate) page: PageSize,
    /// The addresses that are reserved for it, more than `extent` while it grows.
    pub(crate) reserved: Extent,
    /// Allocations in it that are not sealed yet, where the kind seals by block.
    pub(crate) open: u32,
    /// It is read-only until the next allocation in it, where the kind seals by block.
    pub(crate) is_closed: bool,
    /// It was empty when last looked at.
    is_spare: bool,
}

impl Block {
    /// Whether it holds the start of its reservation, rather than continuing a block that does.
    pub(crate) const fn owns_reservation(&self) -> bool {
        self.extent.start() == self.reserved.start()
    }

    /// Whether all of its reservation is mapped.
    pub(crate) const fn is_complete(&self) -> bool {
        self.extent.len() == self.reserved.len()
    }

    pub(crate) const fn new(extent: Extent, page: PageSize, reserved: Extent) -> Self {
        Block { extent, page, reserved, open: 0, is_closed: false, is_spare: false }
    }
}

/// Blocks that are no longer part of a region and can be unmapped.
pub(crate) type Emptied = SmallVec<[Block; 2]>;

/// Blocks, and ranges in them.
///
/// # Invariants (I1)
///
/// The spans of the arena are exactly the blocks. A block that is not donated goes back when it is empty and enough
/// others are.
#[derive(Debug)]
pub(crate) struct Region {
    /// The window, or the donated extent.
    pub(crate) window: Extent,
    base: u64,
    arena: Arena,
    /// In order of address.
    blocks: Vec<Block>,
    /// How many blocks are marked spare. Some may have been used since.
    spares: usize,
    pub(crate) is_donated: bool,
}

impl Region {
    /// A region without blocks. Its ranges can be aligned to at most `alignment`.
    pub(crate) fn new(
        window: Extent,
        quantum: PowerOfTwo,
        alignment: PowerOfTwo,
        is_donated: bool,
    ) -> Result<Self, Error> {
        let arena = Arena::new(quantum.log2()).and_then(|arena| arena.keeping_ready(READY_SHARE_LOG2));
        let arena = arena.map_err(|_| Error::OutOfMemory)?;
        let base = alignment.round_down(window.start());
        Ok(Region { window, base, arena, blocks: Vec::new(), spares: 0, is_donated })
    }

    fn offsets(&self, extent: Extent) -> Range<u64> {
        let start = extent.start() - self.base;
        start..start + extent.len()
    }

    fn extent_of(&self, range: &Range<u64>) -> Extent {
        let extent = Extent::new(self.base + range.start, range.end - range.start);
        let Some(extent) = extent else { panic!("I1: an empty range, {range:x?}") };
        extent
    }

    /// Carves the tightest place out of the blocks. `None` if they have none.
    pub(crate) fn alloc(&mut self, len: u64, align: PowerOfTwo) -> Result<Option<Extent>, Error> {
        match self.arena.alloc(&Request::new(len).aligned(align.bytes())) {
            Ok(range) => Ok(Some(self.extent_of(&range))),
            Err(execmem_range::Error::OutOfMemory) => Err(Error::OutOfMemory),
            Err(_) => Ok(None),
        }
    }

    /// Frees a range. Returns the blocks that can go.
    pub(crate) fn free(&mut self, start: u64) -> Option<Emptied> {
        let freed = self.arena.free(start - self.base).ok()?;
        self.mark_spares(&freed);
        for _ in 0..SETTLED_PER_FREE {
            let Some(settled) = self.arena.has_excess_ready().then(|| self.arena.settle_one()).flatten() else { break };
            self.mark_spares(&settled);
        }
        Some(if self.spares > SPARE_BLOCKS { self.take_spares(SPARE_BLOCKS) } else { Emptied::new() })
    }

    /// Cuts a range in two after `len` bytes.
    pub(crate) fn split(&mut self, start: u64, len: u64) -> Result<[Extent; 2], Error> {
        let halves = self.arena.split(start - self.base, len).map_err(|_| Error::OutOfMemory)?;
        Ok(halves.map(|half| self.extent_of(&half)))
    }

    /// The live range that contains an address.
    pub(crate) fn find(&self, address: u64) -> Option<Extent> {
        let offset = address.checked_sub(self.base)?;
        self.arena.find(offset).map(|range| self.extent_of(&range))
    }

    /// Marks the blocks that became empty: they lie in the hole, and part of them was freed just now.
    fn mark_spares(&mut self, freed: &Freed) {
        let (freed, hole) = (self.extent_of(&freed.range), self.extent_of(&freed.hole));
        if self.is_donated {
            return;
        }
        let first = self.blocks.partition_point(|block| block.extent.last() < freed.start());
        for block in &mut self.blocks[first..] {
            if block.extent.start() > freed.last() {
                return;
            }
            if hole.covers(block.extent) && !block.is_spare {
                block.is_spare = true;
                self.spares += 1;
            }
        }
    }

    /// Removes spare blocks that are still empty from the region until `keep` are left.
    fn take_spares(&mut self, keep: usize) -> Emptied {
        let mut taken = Emptied::new();
        let mut index = self.blocks.len();
        while index > 0 && self.spares > keep {
            index -= 1;
            let block = self.blocks[index];
            if !block.is_spare {
                continue;
            }
            let is_empty = self.arena.is_free(self.offsets(block.extent));
            let can_go = is_empty && self.arena.remove(self.offsets(block.extent)).is_ok();
            if can_go {
                taken.push(self.blocks.remove(index));
            }
            if can_go || !is_empty {
                self.spares -= 1;
                self.blocks.get_mut(index).filter(|_| !can_go).into_iter().for_each(|block| block.is_spare = false);
            }
        }
        taken
    }

    /// Takes every empty block out of the region.
    pub(crate) fn take_empty(&mut self) -> Emptied {
        self.arena.settle();
        if self.is_donated {
            return Emptied::new();
        }
        self.spares = 0;
        for block in &mut self.blocks {
            block.is_spare = true;
            self.spares += 1;
        }
        self.take_spares(0)
    }

    /// Adds mapped blocks that lie next to each other; their space is free. A block that continues an incomplete one
    /// becomes part of it.
    pub(crate) fn add(&mut self, blocks: &[Block]) -> Result<(), Error> {
        let (Some(first), Some(last)) = (blocks.first(), blocks.last()) else { return Ok(()) };
        self.blocks.try_reserve(blocks.len()).map_err(|_| Error::OutOfMemory)?;
        let start = self.offsets(first.extent).start;
        self.arena.add(start..self.offsets(last.extent).end).map_err(|_| Error::OutOfMemory)?;
        for block in blocks {
            let at = self.blocks.partition_point(|other| other.extent.start() < block.extent.start());
            match at.checked_sub(1).and_then(|before| self.blocks.get_mut(before)) {
                Some(before) if before.reserved == block.reserved => {
                    before.extent = joined(before.extent, block.extent)
                }
                _ => self.blocks.insert(at, *block),
            }
        }
        Ok(())
    }

    /// Takes back what [`add`](Self::add) added, all of which is free. Cannot fail: adding secured what this needs.
    pub(crate) fn remove(&mut self, blocks: &[Block]) {
        for block in blocks {
            let removed = self.arena.remove(self.offsets(block.extent));
            assert!(removed.is_ok(), "I9: {} cannot be taken back: {removed:?}", block.extent);
            self.blocks.retain_mut(|other| {
                if other.extent == block.extent {
                    return false;
                }
                if let Some(shorter) = without_tail(other.extent, block.extent) {
                    other.extent = shorter;
                }
                true
            });
        }
    }

    /// The incomplete block, if there is one, and how far it would have to grow for a request.
    pub(crate) fn tail(&self, want: &Want) -> Option<Tail> {
        let block = *self.blocks.iter().rev().find(|block| !block.is_complete())?;
        let free = self.unused_before(block.extent.end());
        let start = want.align.round_up(free)?;
        Some(Tail { block, end: u128::from(start) + u128::from(want.len) })
    }

    /// Where the free range that ends at an address starts; the address itself if none does.
    fn unused_before(&self, end: u128) -> u64 {
        let end = u64::try_from(end).unwrap_or(u64::MAX);
        let hole = self.arena.hole_before(end - self.base);
        hole.map_or(end, |hole| self.base + hole.start)
    }

    /// Tells the blocks of an unsealed allocation that was cut in two that it counts twice where both parts touch.
    pub(crate) fn recount(&mut self, whole: Extent, [first, second]: [Extent; 2]) {
        for block in self.blocks_of(whole) {
            if block.extent.overlaps(first) && block.extent.overlaps(second) {
                block.open += 1;
            }
        }
    }

    /// Whether the arena manages exactly the blocks.
    pub(crate) fn spans_are_blocks(&self) -> bool {
        let mut runs: Vec<Extent> = Vec::new();
        for block in &self.blocks {
            match runs.last_mut().filter(|run| run.end() == u128::from(block.extent.start())) {
                Some(run) => *run = joined(*run, block.extent),
                None => runs.push(block.extent),
            }
        }
        self.arena.spans().map(|span| self.extent_of(&span)).eq(runs)
    }

    /// Whether a block lies at an address.
    pub(crate) fn has(&self, address: u64) -> bool {
        let at = self.blocks.partition_point(|block| block.extent.last() < address);
        self.blocks.get(at).is_some_and(|block| block.extent.contains(address))
    }

    /// The blocks in order of address.
    pub(crate) fn blocks(&self) -> &[Block] {
        &self.blocks
    }

    /// The blocks that an extent touches.
    pub(crate) fn blocks_of(&mut self, extent: Extent) -> &mut [Block] {
        let first = self.blocks.partition_point(|block| block.extent.last() < extent.start());
        let end = self.blocks.partition_point(|block| block.extent.start() <= extent.last());
        &mut self.blocks[first..end]
    }

    /// The free ranges in order, ready ones included, as extents.
    pub(crate) fn unused(&self) -> impl Iterator<Item = Extent> + '_ {
        self.arena.free_ranges().map(|range| self.extent_of(&range))
    }

    pub(crate) fn arena(&self) -> &Arena {
        &self.arena
    }
}

/// Two extents, the second right after the first, as one.
fn joined(first: Extent, second: Extent) -> Extent {
    Extent::between(first.start(), second.end()).unwrap_or(first)
}

/// What is left of an extent without a tail of it; `None` if `tail` is none.
fn without_tail(extent: Extent, tail: Extent) -> Option<Extent> {
    (extent.last() == tail.last()).then(|| Extent::between(extent.start(), tail.start().into())).flatten()
}
