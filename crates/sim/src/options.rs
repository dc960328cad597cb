//! What a simulated machine is made of.

use execmem_types::PageSize;

use crate::direct::Merge;
use crate::tlb::Processor;

/// The machine around the memory under test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Nodes of memory, at least one.
    pub nodes: u64,
    /// Bytes of each, a whole number of pages.
    pub bytes_per_node: u64,
    /// Leaves of the direct map at boot. `None`: no direct map.
    pub direct_leaf: Option<PageSize>,
    /// How the direct map becomes whole again.
    pub merge: Merge,
    /// Memory comes from a cache of frames that the direct map does not show. Needs a direct map.
    pub is_unmapped: bool,
    /// The translation caches of each processor.
    pub processor: Processor,
    /// Number of processors.
    pub processors: usize,
}

impl Default for Options {
    /// One node with as much memory as wanted, no direct map, one processor without translation caches.
    fn default() -> Self {
        Options {
            nodes: 1,
            bytes_per_node: u64::MAX / 2,
            direct_leaf: None,
            merge: Merge::Scan,
            is_unmapped: false,
            processor: Processor::default(),
            processors: 1,
        }
    }
}
