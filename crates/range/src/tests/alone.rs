//! An arena with a live map of its own, so that tests need not pass it.

use alloc::sync::Arc;
use core::ops::{Deref, DerefMut, Range};

use crate::live_map::MAX_QUANTA;
use crate::{Arena, Error, Freed, LiveMap, State, Violation};

/// The arena and the map it writes.
pub(super) struct Alone {
    map: Arc<LiveMap>,
    arena: Arena,
}

impl Deref for Alone {
    type Target = Arena;
    fn deref(&self) -> &Arena {
        &self.arena
    }
}

impl DerefMut for Alone {
    fn deref_mut(&mut self) -> &mut Arena {
        &mut self.arena
    }
}

impl Alone {
    pub(super) fn new(quantum_log2: u32) -> Result<Self, Error> {
        Ok(Alone::over(&Arc::new(LiveMap::new(quantum_log2, u64::from(MAX_QUANTA) << quantum_log2)?)))
    }

    pub(super) fn over(map: &Arc<LiveMap>) -> Self {
        Alone { map: Arc::clone(map), arena: Arena::over(map) }
    }

    pub(super) fn map(&self) -> &Arc<LiveMap> {
        &self.map
    }

    pub(super) fn try_alloc(&mut self, len: u64, align: u64, tag: u32) -> Result<Option<u64>, Error> {
        self.arena.try_alloc(&self.map, len, align, tag)
    }

    pub(super) fn free(&mut self, start: u64) -> Result<Freed, Error> {
        self.arena.free(&self.map, start)
    }

    pub(super) fn free_withheld(&mut self, start: u64) -> Result<Freed, Error> {
        self.arena.free_withheld(&self.map, start)
    }

    pub(super) fn release(&mut self, start: u64) -> Result<u64, Error> {
        self.arena.release(&self.map, start)
    }

    pub(super) fn split(&mut self, start: u64, len: u64) -> Result<Range<u64>, Error> {
        self.arena.split(&self.map, start, len)
    }

    pub(super) fn add(&mut self, span: Range<u64>) -> Result<(), Error> {
        self.arena.add(&self.map, span)
    }

    pub(super) fn remove(&mut self, span: Range<u64>) -> Result<(), Error> {
        self.arena.remove(&self.map, span)
    }

    pub(super) fn prepare_and_drain(&mut self, space: Option<Range<u64>>) -> Result<(), Error> {
        self.arena.prepare_to_drain()?;
        self.arena.drain(space)
    }

    pub(super) fn hole_at(&self, position: u64) -> Option<Range<u64>> {
        self.arena.hole_at(&self.map, position)
    }

    pub(super) fn ranges(&self) -> impl Iterator<Item = (Range<u64>, State)> + '_ {
        self.arena.ranges(&self.map)
    }

    pub(super) fn spans(&self) -> impl Iterator<Item = Range<u64>> + '_ {
        self.arena.spans(&self.map)
    }

    pub(super) fn trim(&mut self) {
        self.arena.trim(&self.map);
    }

    pub(super) fn audit(&self) -> Result<(), Violation> {
        self.arena.audit(&self.map)
    }
}
