//! The blocks of one shard of a pool in one window, and the ranges carved from them.

mod block;
mod drain;
mod want;
mod window;

use alloc::vec::Vec;

use execmem_range::{Arena, State};
use execmem_types::Extent;

pub(crate) use block::{Block, Tail, joined};
pub(crate) use want::Want;
pub(crate) use window::Window;

use crate::Error;
use block::{Ordered as _, without_tail};
use drain::Drain;

/// Blocks, and ranges in them. Every call names the window, whose live map the ranges are in.
///
/// # Invariants (I1)
///
/// The spans of the arena are exactly the blocks. A block of a window that is not donated goes back when it is empty and not
/// needed.
#[derive(Debug)]
pub(crate) struct Region {
    arena: Arena,
    /// In order of address.
    blocks: Vec<Block>,
    smallest_block: u64,
    drain: Drain,
}

/// What [`Region::free`] did.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Freed {
    /// There are more empty blocks than should be kept: [`take_surplus`](Region::take_surplus) has one.
    pub(crate) has_surplus: bool,
    /// There are withheld holes.
    pub(crate) has_withheld: bool,
}

impl Freed {
    /// Of nothing.
    pub(crate) const NOTHING: Self = Freed { has_surplus: false, has_withheld: false };

    /// Whether anything is due.
    #[inline]
    pub(crate) const fn is_followed_up(self) -> bool {
        self.has_surplus || self.has_withheld
    }

    /// What both did.
    #[inline]
    pub(crate) const fn and(self, other: Self) -> Self {
        Freed {
            has_surplus: self.has_surplus || other.has_surplus,
            has_withheld: self.has_withheld || other.has_withheld,
        }
    }
}

impl Region {
    /// A region without blocks.
    pub(crate) fn new(window: &Window) -> Self {
        let arena = Arena::over(&window.map);
        Region { arena, blocks: Vec::new(), smallest_block: 0, drain: Drain::default() }
    }

    /// Carves the tightest place out of the blocks, and returns where it starts. `None` if they have none.
    #[inline]
    pub(crate) fn alloc(&mut self, window: &Window, want: &Want) -> Result<Option<u64>, Error> {
        match self.arena.try_alloc(&window.map, want.len, want.align.bytes(), want.tag) {
            Ok(Some(start)) => {
                if self.drain.empty() > 0 {
                    self.note_used(window, start, want.len);
                }
                Ok(Some(window.base + start))
            }
            Err(execmem_range::Error::OutOfMemory) => Err(Error::OutOfMemory),
            Ok(None) | Err(_) => Ok(None),
        }
    }

    /// Frees the range that starts at an address; `None` if nothing live does. Takes no heap.
    #[inline]
    pub(crate) fn free(&mut self, window: &Window, start: u64) -> Option<Freed> {
        let freed = self.arena.free(&window.map, start - window.base).ok()?;
        if window.is_donated {
            return Some(self.freed(false));
        }
        if freed.hole_len >= self.smallest_block {
            self.note_empty(window, start);
        }
        if self.arena.withholds() {
            self.note_withheld(window);
        }
        if self.drain.is_time() {
            self.choose(window);
        }
        self.drain.note_freed(freed.len);
        Some(self.freed(self.drain.has_surplus(&self.blocks)))
    }

    #[inline]
    fn freed(&self, has_surplus: bool) -> Freed {
        Freed { has_surplus, has_withheld: self.arena.withholds() }
    }

    /// Frees a range whose content is not destroyed yet: it serves nothing until it is [released](Self::release). Takes no
    /// heap. False if nothing live starts there.
    #[cold]
    pub(crate) fn free_withheld(&mut self, window: &Window, start: u64) -> bool {
        let is_freed = self.arena.free_withheld(&window.map, start - window.base).is_ok();
        self.note_withheld(window);
        is_freed
    }

    /// The holes whose content is not destroyed yet, the one withheld last first.
    pub(crate) fn withheld<'r>(&'r self, window: &'r Window) -> impl Iterator<Item = Extent> + 'r {
        self.arena.withheld().map(|hole| window.extent_of(&hole))
    }

    /// The content of a withheld hole is destroyed: it serves requests again. False if it is not the same any more. Takes no
    /// heap.
    pub(crate) fn release(&mut self, window: &Window, hole: Extent) -> bool {
        let is_same = |withheld: core::ops::Range<u64>| window.extent_of(&withheld) == hole;
        if !self.arena.withheld().any(is_same) {
            return false;
        }
        let Ok(len) = self.arena.release(&window.map, hole.start() - window.base) else { return false };
        if !window.is_donated && len >= self.smallest_block {
            self.note_empty(window, hole.start());
        }
        true
    }

    /// Bytes of withheld holes.
    pub(crate) fn withheld_bytes(&self) -> u64 {
        self.arena.withheld().map(|hole| hole.end - hole.start).sum()
    }

    /// Marks the blocks that the hole at an address covers.
    #[cold]
    fn note_empty(&mut self, window: &Window, address: u64) {
        if let Some(hole) = self.arena.hole_at(&window.map, address - window.base) {
            self.mark(window.extent_of(&hole), true);
        }
    }

    /// Unmarks the blocks that withheld holes touch: their content is not destroyed yet. A hole may have become withheld by
    /// any free.
    #[cold]
    fn note_withheld(&mut self, window: &Window) {
        let mut empty = self.drain.empty();
        if empty == 0 {
            return;
        }
        for hole in self.arena.withheld() {
            for block in self.blocks.touched(window.extent_of(&hole)).iter_mut().filter(|block| block.is_empty) {
                block.is_empty = false;
                empty -= 1;
            }
        }
        if empty != self.drain.empty() {
            self.drain.set_empty(empty);
        }
    }

    /// Unmarks the blocks that an allocation touches.
    #[cold]
    fn note_used(&mut self, window: &Window, start: u64, len: u64) {
        self.mark(window.extent_of(&(start..start + len)), false);
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

    /// Chooses the block to drain.
    #[cold]
    fn choose(&mut self, window: &Window) {
        let holes = self.arena.holes_unordered().map(|hole| window.extent_of(&hole));
        if let Some(draining) = self.drain.choose(&mut self.blocks, holes) {
            let drained = self.arena.drain(draining.map(|extent| window.offsets(extent)));
            if drained.is_err() {
                self.drain.forget_choice();
            }
        }
    }

    /// Takes an empty block out of the region if there are more than should be kept. Takes no heap.
    #[cold]
    pub(crate) fn take_surplus(&mut self, window: &Window) -> Option<Block> {
        if self.drain.has_surplus(&self.blocks) { self.take_empty(window) } else { None }
    }

    /// Takes an empty block out of the region. Takes no heap.
    pub(crate) fn take_empty(&mut self, window: &Window) -> Option<Block> {
        if window.is_donated {
            return None;
        }
        let index = self.blocks.iter().rposition(|block| block.is_empty)?;
        let block = self.blocks.remove(index);
        let removed = self.arena.remove(&window.map, window.offsets(block.extent));
        assert!(removed.is_ok(), "I1: {} is marked empty and is not: {removed:?}", block.extent);
        self.arena.count_spans(self.blocks.len());
        self.drain.let_go(block.extent);
        Some(block)
    }

    /// Cuts a range in two after `len` bytes, and returns where the second starts.
    pub(crate) fn split(&mut self, window: &Window, start: u64, len: u64) -> Result<u64, Error> {
        let second = self.arena.split(&window.map, start - window.base, len).map_err(|_| Error::OutOfMemory)?;
        Ok(window.base + second.start)
    }

    /// Adds mapped blocks; their space is free. A block that continues an incomplete one becomes part of it.
    pub(crate) fn add(&mut self, window: &Window, blocks: &[Block]) -> Result<(), Error> {
        self.blocks.try_reserve(blocks.len()).map_err(|_| Error::OutOfMemory)?;
        for (index, block) in blocks.iter().enumerate() {
            if self.arena.add(&window.map, window.offsets(block.extent)).is_err() {
                self.remove_spans(window, &blocks[..index]);
                return Err(Error::OutOfMemory);
            }
        }
        if self.blocks.len() + blocks.len() > 1 {
            // Without memory for it, no block is drained.
            let _ = self.arena.prepare_to_drain();
        }
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

    /// Takes back what [`add`](Self::add) added, all of which is free. Takes no heap.
    pub(crate) fn remove(&mut self, window: &Window, blocks: &[Block]) {
        self.remove_spans(window, blocks);
        for block in blocks {
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

    /// Takes the space of blocks, all of which is free, out of the arena.
    fn remove_spans(&mut self, window: &Window, blocks: &[Block]) {
        for block in blocks {
            let removed = self.arena.remove(&window.map, window.offsets(block.extent));
            assert!(removed.is_ok(), "I9: {} cannot be taken back: {removed:?}", block.extent);
        }
    }

    fn recount_blocks(&mut self) {
        self.arena.count_spans(self.blocks.len());
        self.smallest_block = self.blocks.iter().map(|block| block.extent.len()).min().unwrap_or(0);
        self.drain.set_empty(self.blocks.iter().filter(|block| block.is_empty).count());
    }

    /// The incomplete block, if there is one, and how far it would have to grow for a request.
    pub(crate) fn tail(&self, window: &Window, want: &Want) -> Option<Tail> {
        let block = *self.blocks.iter().rev().find(|block| !block.is_complete())?;
        let free = self.unused_before(window, block.extent.end());
        let start = want.align.round_up(free)?;
        Some(Tail { block, end: u128::from(start) + u128::from(want.len) })
    }

    /// Where the free range that ends at an address starts; the address itself if none does.
    fn unused_before(&self, window: &Window, end: u128) -> u64 {
        let end = u64::try_from(end).unwrap_or(u64::MAX);
        let hole = self.arena.hole_at(&window.map, end - 1 - window.base);
        hole.map_or(end, |hole| window.base + hole.start)
    }

    /// Bytes of all blocks.
    pub(crate) fn mapped_bytes(&self) -> u64 {
        self.blocks.iter().map(|block| block.extent.len()).sum()
    }

    /// Whether the arena manages exactly the blocks.
    pub(crate) fn spans_are_blocks(&self, window: &Window) -> bool {
        let mut blocks = self.blocks.iter().map(|block| block.extent).peekable();
        let mut runs = core::iter::from_fn(|| {
            let mut run = blocks.next()?;
            while let Some(next) = blocks.next_if(|next| run.end() == u128::from(next.start())) {
                run = joined(run, next);
            }
            Some(run)
        });
        self.arena.spans(&window.map).map(|span| window.extent_of(&span)).eq(&mut runs)
    }

    /// Whether the blocks that are marked empty are, and are counted.
    pub(crate) fn are_marks_right(&self, window: &Window) -> bool {
        let marked = || self.blocks.iter().filter(|block| block.is_empty);
        let is_free = |block: &Block| {
            let range = window.offsets(block.extent);
            self.arena.hole_at(&window.map, range.start).is_some_and(|hole| range.end <= hole.end)
        };
        marked().count() == self.drain.empty() && (window.is_donated || marked().all(is_free))
    }

    /// Length of the hole that fits most tightly.
    pub(crate) fn tightest_hole(&self, len: u64) -> Option<u64> {
        self.arena.tightest_hole(len)
    }

    /// The blocks in order of address.
    pub(crate) fn blocks(&self) -> &[Block] {
        &self.blocks
    }

    /// The blocks that an extent touches.
    pub(crate) fn blocks_of(&mut self, extent: Extent) -> &mut [Block] {
        self.blocks.touched(extent)
    }

    /// The first free range that serves requests and starts at an address or behind it.
    pub(crate) fn next_unused(&self, window: &Window, from: u64) -> Option<Extent> {
        let mut ranges = self.arena.ranges_from(&window.map, from.saturating_sub(window.base));
        let free = ranges.find(|(_, state)| *state == State::Free);
        free.map(|(range, _)| window.extent_of(&range))
    }

    /// Checks the ranges.
    pub(crate) fn audit(&self, window: &Window) -> Result<(), execmem_range::Violation> {
        self.arena.audit(&window.map)
    }

    /// Gives back the bookkeeping that only what is gone needed.
    pub(crate) fn trim(&mut self, window: &Window) {
        self.arena.trim(&window.map);
    }

    pub(crate) const fn arena(&self) -> &Arena {
        &self.arena
    }
}
