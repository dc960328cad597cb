//! What the machine counts.

/// Events since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Blocks mapped.
    pub maps: u64,
    /// Extents unmapped.
    pub unmaps: u64,
    /// Leaf entries whose rights changed after they were mapped.
    pub permission_changes: u64,
    /// Leaves that were split because rights differ within them.
    pub splits: u64,
    /// Runs of leaves that were made one larger leaf.
    pub merges: u64,
    /// Flushes of the translations of all processors.
    pub global_flushes: u64,
    /// Flushes of the translations of one processor: after writing through a temporary mapping.
    pub local_flushes: u64,
    /// Times that instruction fetch was told of new bytes. On machines where each processor has to do something itself,
    /// as many interrupts of all others.
    pub code_syncs: u64,
    /// Writes through a temporary mapping.
    pub pokes: u64,
    /// Writes at the address itself.
    pub stores: u64,
    /// Leaves of the direct map that were split.
    pub direct_splits: u64,
    /// Tables of the direct map that became one leaf again.
    pub direct_merges: u64,
    /// Tables of the direct map whose counter of equal entries was found wrong, and was not believed.
    pub direct_drifts: u64,
}
