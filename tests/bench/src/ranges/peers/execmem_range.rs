//! execmem-range: tightest fit, ready ranges up to one part in 64 of what is live, or in 16 of few ranges.

use anyhow::Result;
use execmem_range::{Arena, Request};

use crate::ranges::GRANULE_BYTES;
use crate::ranges::replay::{LookUp, Position, Ranges};

/// The share of ready ranges, given how many ranges are live at most. A larger one saves time and costs space; of few
/// ranges it is little space.
const fn ready_share_log2(max_live: usize) -> u32 {
    if max_live < 50_000 { 4 } else { 6 }
}

pub(crate) struct ExecmemRange(Arena);

impl ExecmemRange {
    /// One in which ranges of `(start, length)` in bytes are live, in order of their starts.
    pub(crate) fn with_live(ranges: &[(u64, u64)]) -> Result<Self> {
        let end = ranges.last().map_or(0, |(start, len)| start + len);
        let mut arena = ExecmemRange::new(end.div_ceil(GRANULE_BYTES), ranges.len())?;
        for (start, len) in ranges {
            arena.0.alloc_at(*start..start + len)?;
        }
        Ok(arena)
    }

    /// Where the live range that contains an address starts, in bytes.
    pub(crate) fn find_start(&self, address: u64) -> Option<u64> {
        self.0.find(address).map(|range| range.start)
    }
}

impl Ranges for ExecmemRange {
    type Token = Position;

    fn new(capacity: u64, max_live: usize) -> Result<Self> {
        let arena = Arena::new(GRANULE_BYTES.trailing_zeros())?;
        let mut arena = arena.keeping_ready(ready_share_log2(max_live))?;
        arena.add(0..capacity * GRANULE_BYTES)?;
        Ok(ExecmemRange(arena))
    }

    fn alloc(&mut self, granules: u32, align: u32) -> Option<Position> {
        let bytes = u64::from(granules) * GRANULE_BYTES;
        let range = self.0.alloc(&Request::new(bytes).aligned(u64::from(align) * GRANULE_BYTES)).ok()?;
        Some(Position::new(range.start))
    }

    fn free(&mut self, start: Position) {
        self.0.free(start.get()).expect("the trace frees what is live");
    }

    fn position(&self, start: Position, _: u32) -> u64 {
        start.get() / GRANULE_BYTES
    }

    fn bookkeeping_bytes(&self) -> Option<usize> {
        Some(self.0.bookkeeping_bytes().0 + self.0.ledger().bookkeeping_bytes())
    }
}

impl LookUp for ExecmemRange {
    fn find(&self, position: u64) -> Option<u64> {
        self.0.find(position * GRANULE_BYTES).map(|range| range.start / GRANULE_BYTES)
    }
}
