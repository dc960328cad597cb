//! The blocks of one shard of a pool in one window, and the ranges carved from them.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Range;

use execmem_range::{Arena, Ledger, Request};
use execmem_types::{Extent, Kind, PowerOfTwo};

use crate::Error;
use crate::block::{Block, Ordered as _, Tail, joined, without_tail};
use crate::drain::Drain;
use crate::owner::{Owner, tag_of};

/// What is looked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Want {
    pub(crate) kind: Kind,
    pub(crate) owner: Owner,
    /// Bytes, a multiple of the quantum of the kind.
    pub(crate) len: u64,
    pub(crate) align: PowerOfTwo,
    pub(crate) requested: u64,
}

/// A window as far as it is used, or a donated extent, and what is live in it.
#[derive(Debug, Clone)]
pub(crate) struct Window {
    pub(crate) extent: Extent,
    /// What offsets in the ledger count from.
    pub(crate) base: u64,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) is_donated: bool,
}

impl Window {
    /// A window in which ranges can be aligned to at most `alignment`.
    pub(crate) fn new(
        extent: Extent,
        quantum: PowerOfTwo,
        alignment: PowerOfTwo,
        is_donated: bool,
    ) -> Result<Self, Error> {
        let base = alignment.round_down(extent.start());
        let ledger = Ledger::new(quantum.log2(), extent.last() - base + 1).map_err(|_| Error::OutOfMemory)?;
        Ok(Window { extent, base, ledger: Arc::new(ledger), is_donated })
    }

    fn offsets(&self, extent: Extent) -> Range<u64> {
        let start = extent.start() - self.base;
        start..start + extent.len()
    }

    #[inline]
    pub(crate) fn extent_of(&self, range: &Range<u64>) -> Extent {
        let extent = Extent::new(self.base + range.start, range.end - range.start);
        let Some(extent) = extent else { panic!("I1: an empty range, {range:x?}") };
        extent
    }
}

/// Blocks, and ranges in them.
///
/// # Invariants (I1)
///
/// The spans of the arena are exactly the blocks. A block that is not donated goes back when it is empty and not
/// needed.
#[derive(Debug)]
pub(crate) struct Region {
    pub(crate) window: Window,
    arena: Arena,
    /// In order of address.
    blocks: Vec<Block>,
    smallest_block: u64,
    drain: Drain,
}

impl Region {
    /// A region without blocks.
    pub(crate) fn new(window: &Window) -> Self {
        let arena = Arena::over(Arc::clone(&window.ledger));
        Region { window: window.clone(), arena, blocks: Vec::new(), smallest_block: 0, drain: Drain::default() }
    }

    /// Carves the tightest place out of the blocks. `None` if they have none.
    #[inline]
    pub(crate) fn alloc(&mut self, want: &Want, home: Kind) -> Result<Option<Extent>, Error> {
        let request = Request::new(want.len).aligned(want.align.bytes()).tagged(tag_of(want.kind, home, want.owner));
        match self.arena.try_alloc(&request) {
            Ok(Some(range)) => {
                let extent = self.window.extent_of(&range);
                if self.drain.empty() > 0 {
                    self.note_used(extent);
                }
                Ok(Some(extent))
            }
            Err(execmem_range::Error::OutOfMemory) => Err(Error::OutOfMemory),
            Ok(None) | Err(_) => Ok(None),
        }
    }

    /// Frees a range. Returns whether there are empty blocks now that [may go](Self::take_unneeded), or `None` if
    /// nothing live starts there.
    #[inline]
    pub(crate) fn free(&mut self, start: u64) -> Option<bool> {
        let freed = self.arena.free(start - self.window.base).ok()?;
        if self.window.is_donated {
            return Some(false);
        }
        self.note_empty(&freed.hole);
        if self.drain.is_time() {
            self.choose();
        }
        self.drain.note_freed(freed.range.end - freed.range.start);
        Some(self.drain.has_unneeded(&self.blocks))
    }

    /// Marks the blocks that a hole covers.
    #[inline]
    fn note_empty(&mut self, hole: &Range<u64>) {
        if hole.end - hole.start >= self.smallest_block {
            let hole = self.window.extent_of(hole);
            self.mark(hole, true);
        }
    }

    /// Unmarks the blocks that an allocation touches.
    #[cold]
    fn note_used(&mut self, extent: Extent) {
        self.mark(extent, false);
    }

    fn mark(&mut self, extent: Extent, is_empty: bool) {
        let mut empty = self.drain.empty();
        for block in self.blocks.touched(extent) {
            if block.is_empty != is_empty && (!is_empty || extent.covers(block.extent)) {
                block.is_empty = is_empty;
                empty = if is_empty { empty + 1 } else { empty - 1 };
            }
        }
        if empty != self.drain.empty() {
            self.drain.set_empty(empty);
        }
    }

    /// Chooses the block to avoid.
    #[cold]
    fn choose(&mut self) {
        let holes = self.arena.holes_unordered().map(|hole| self.window.extent_of(&hole));
        if let Some(avoided) = self.drain.choose(&mut self.blocks, holes) {
            // Out of memory for it, nothing is avoided until the next choice.
            let _ = self.arena.avoid(avoided.map(|extent| self.window.offsets(extent)));
        }
    }

    /// Takes an empty block out of the region if there are more than should be kept.
    #[cold]
    pub(crate) fn take_unneeded(&mut self) -> Option<Block> {
        if self.drain.has_unneeded(&self.blocks) { self.take_empty() } else { None }
    }

    /// Takes an empty block out of the region.
    pub(crate) fn take_empty(&mut self) -> Option<Block> {
        if self.window.is_donated {
            return None;
        }
        for index in (0..self.blocks.len()).rev() {
            let block = self.blocks[index];
            // Out of memory for cutting it out, a block stays until the next time.
            if block.is_empty && self.arena.remove(self.window.offsets(block.extent)).is_ok() {
                self.drain.let_go(block.extent);
                return Some(self.blocks.remove(index));
            }
        }
        None
    }

    /// Cuts a range in two after `len` bytes.
    pub(crate) fn split(&mut self, start: u64, len: u64) -> Result<[Extent; 2], Error> {
        let halves = self.arena.split(start - self.window.base, len).map_err(|_| Error::OutOfMemory)?;
        Ok(halves.map(|half| self.window.extent_of(&half)))
    }

    /// Adds mapped blocks that lie next to each other; their space is free. A block that continues an incomplete one
    /// becomes part of it.
    pub(crate) fn add(&mut self, blocks: &[Block]) -> Result<(), Error> {
        let (Some(first), Some(last)) = (blocks.first(), blocks.last()) else { return Ok(()) };
        self.blocks.try_reserve(blocks.len()).map_err(|_| Error::OutOfMemory)?;
        let start = self.window.offsets(first.extent).start;
        self.arena.add(start..self.window.offsets(last.extent).end).map_err(|_| Error::OutOfMemory)?;
        for block in blocks {
            let at = self.blocks.partition_point(|other| other.extent.start() < block.extent.start());
            match at.checked_sub(1).and_then(|before| self.blocks.get_mut(before)) {
                Some(before) if before.reserved == block.reserved => {
                    before.extent = joined(before.extent, block.extent);
                }
                _ => self.blocks.insert(at, *block),
            }
        }
        self.recount_blocks();
        Ok(())
    }

    /// Takes back what [`add`](Self::add) added, all of which is free. Cannot fail: adding secured what this needs.
    pub(crate) fn remove(&mut self, blocks: &[Block]) {
        for block in blocks {
            let removed = self.arena.remove(self.window.offsets(block.extent));
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
        self.recount_blocks();
    }

    fn recount_blocks(&mut self) {
        self.smallest_block = self.blocks.iter().map(|block| block.extent.len()).min().unwrap_or(0);
        self.drain.set_empty(self.blocks.iter().filter(|block| block.is_empty).count());
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
        let hole = self.arena.hole_before(end - self.window.base);
        hole.map_or(end, |hole| self.window.base + hole.start)
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
        self.arena.spans().map(|span| self.window.extent_of(&span)).eq(runs)
    }

    /// Whether the blocks that are marked empty are, and are counted.
    pub(crate) fn are_marks_right(&self) -> bool {
        let marked = || self.blocks.iter().filter(|block| block.is_empty);
        let is_free = |block: &Block| self.arena.is_free(self.window.offsets(block.extent));
        marked().count() == self.drain.empty() && (self.window.is_donated || marked().all(is_free))
    }

    /// The blocks in order of address.
    pub(crate) fn blocks(&self) -> &[Block] {
        &self.blocks
    }

    /// The blocks that an extent touches.
    pub(crate) fn blocks_of(&mut self, extent: Extent) -> &mut [Block] {
        self.blocks.touched(extent)
    }

    /// The free ranges in order, as extents.
    pub(crate) fn unused(&self) -> impl Iterator<Item = Extent> + '_ {
        self.arena.free_ranges().map(|range| self.window.extent_of(&range))
    }

    pub(crate) fn arena(&self) -> &Arena {
        &self.arena
    }
}
