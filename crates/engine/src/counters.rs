//! What is counted as it happens.

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
}

impl KindStats {
    /// Adds what another part of the memory counted.
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
    /// Blocks mapped.
    pub maps: u64,
    /// Blocks unmapped.
    pub unmaps: u64,
    /// Blocks that could not be mapped in the first granularity.
    pub fallbacks: u64,
    /// Changes of rights.
    pub protects: u64,
    /// Runs of small leaves that became one large leaf.
    pub collapses: u64,
    /// Bytes that could not be made safe to reuse, and are not.
    pub quarantined_bytes: u64,
}
