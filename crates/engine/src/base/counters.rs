//! What is counted as it happens.

use core::sync::atomic::{AtomicUsize, Ordering};

/// What one kind has asked for. Bytes are of live allocations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct KindStats {
    /// Allocations since the start.
    pub allocations: u64,
    /// Live allocations.
    pub live: u64,
    /// Bytes that callers asked for.
    pub bytes_requested: u64,
    /// Bytes that they got: rounded up to the quantum.
    pub bytes_granted: u64,
    /// Allocations since the start that went to a far window.
    pub far_allocations: u64,
    /// Handles that were dropped without being freed, since the start. Their memory stays live.
    pub dropped: u64,
    /// Bytes of these.
    pub dropped_bytes: u64,
}

impl KindStats {
    /// Adds what another shard counted. Which handles were dropped, shards do not know.
    pub(crate) const fn add(&mut self, other: &Self) {
        self.allocations += other.allocations;
        self.live += other.live;
        self.bytes_requested += other.bytes_requested;
        self.bytes_granted += other.bytes_granted;
        self.far_allocations += other.far_allocations;
    }
}

/// Events of one pool since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Blocks mapped, or extended.
    pub maps: u64,
    /// Blocks unmapped.
    pub unmaps: u64,
    /// Blocks that could not be mapped in the first page size.
    pub fallbacks: u64,
    /// Changes of rights.
    pub protects: u64,
    /// Runs of small leaves that became one large leaf.
    pub collapses: u64,
    /// Bytes of blocks that the backend refused to unmap when there was no memory to keep them for later either. They are
    /// never used again.
    pub lost_bytes: u64,
}

/// One of [`Counters`], where it is counted. Not an atomic of the protocols, so not one of the facade.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicUsize);

impl Counter {
    /// Counts one more.
    pub(crate) fn count(&self) {
        self.add(1);
    }

    /// Counts so many more.
    pub(crate) fn add(&self, more: u64) {
        self.0.fetch_add(usize::try_from(more).unwrap_or(usize::MAX), Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed) as u64
    }
}

/// [`Counters`] where they are counted.
#[derive(Debug, Default)]
pub(crate) struct Events {
    pub(crate) maps: Counter,
    pub(crate) unmaps: Counter,
    pub(crate) fallbacks: Counter,
    pub(crate) protects: Counter,
    pub(crate) collapses: Counter,
    pub(crate) lost_bytes: Counter,
}

impl Events {
    /// What was counted.
    pub(crate) fn counters(&self) -> Counters {
        Counters {
            maps: self.maps.get(),
            unmaps: self.unmaps.get(),
            fallbacks: self.fallbacks.get(),
            protects: self.protects.get(),
            collapses: self.collapses.get(),
            lost_bytes: self.lost_bytes.get(),
        }
    }
}
