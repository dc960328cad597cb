//! execmem-range: tightest fit.

use anyhow::{Context as _, Result, ensure};
use execmem_range::{Arena, LiveMap};

use crate::ranges::GRANULE_BYTES;
use crate::ranges::replay::{LookUp, Position, Ranges};

pub(crate) struct ExecmemRange {
    map: LiveMap,
    arena: Arena,
}

impl ExecmemRange {
    /// One in which ranges of `(start, length)` in bytes are live, in order of their starts.
    pub(crate) fn with_live(ranges: &[(u64, u64)]) -> Result<Self> {
        let mut own = Self::empty()?;
        for (start, len) in ranges {
            own.arena.add(&own.map, *start..start + len)?;
            let got = own.arena.try_alloc(&own.map, *len, 1, 0)?.context("room for what was just added")?;
            ensure!(got == *start, "allocated at {got:#x} instead of {start:#x}");
        }
        Ok(own)
    }

    /// One that manages nothing, of as many granules as can be addressed.
    fn empty() -> Result<Self> {
        let map = LiveMap::new(GRANULE_BYTES.trailing_zeros(), GRANULE_BYTES << 30)?;
        Ok(ExecmemRange { arena: Arena::over(&map), map })
    }

    /// Where the live range that contains an address starts, in bytes.
    pub(crate) fn find_start(&self, address: u64) -> Option<u64> {
        self.map.find(address).map(|found| found.range.start)
    }
}

impl Ranges for ExecmemRange {
    type Token = Position;

    fn new(capacity: u64, _: usize) -> Result<Self> {
        let mut own = Self::empty()?;
        own.arena.add(&own.map, 0..capacity * GRANULE_BYTES)?;
        Ok(own)
    }

    fn alloc(&mut self, granules: u32, align: u32) -> Option<Position> {
        let bytes = u64::from(granules) * GRANULE_BYTES;
        self.arena.try_alloc(&self.map, bytes, u64::from(align) * GRANULE_BYTES, 0).ok()?.map(Position::new)
    }

    fn free(&mut self, start: Position) {
        self.arena.free(&self.map, start.get()).expect("the trace frees what is live");
    }

    fn position(&self, start: Position, _: u32) -> u64 {
        start.get() / GRANULE_BYTES
    }

    fn bookkeeping_bytes(&self) -> Option<usize> {
        Some(self.arena.bookkeeping_bytes() + self.map.bookkeeping_bytes().0)
    }
}

impl LookUp for ExecmemRange {
    fn find(&self, position: u64) -> Option<u64> {
        self.map.find(position * GRANULE_BYTES).map(|found| found.range.start / GRANULE_BYTES)
    }
}
