//! Memory of which each processor has its own copy, as far as a loader knows: addresses, and the first content.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use execmem::Extent;
use execmem_clients::module::PerCpu;

/// Addresses from a start upwards, never used twice.
#[derive(Debug, Clone)]
pub struct PerCpus(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    next: u64,
    /// First content by start.
    live: BTreeMap<u64, Vec<u8>>,
}

impl PerCpus {
    /// Memory from an address on.
    #[must_use]
    pub fn new(start: u64) -> Self {
        PerCpus(Arc::new(Mutex::new(State { next: start, live: BTreeMap::new() })))
    }

    fn with<O>(&self, body: impl FnOnce(&mut State) -> O) -> O {
        body(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// How many pieces are taken.
    #[must_use]
    pub fn live(&self) -> usize {
        self.with(|state| state.live.len())
    }

    /// The first content of `len` bytes at an address. `None` if no thread has taken them.
    #[must_use]
    pub fn content(&self, address: u64, len: usize) -> Option<Vec<u8>> {
        self.with(|state| {
            let (start, bytes) = state.live.range(..=address).next_back()?;
            let offset = usize::try_from(address - start).ok()?;
            bytes.get(offset..offset + len).map(<[u8]>::to_vec)
        })
    }
}

impl PerCpu for PerCpus {
    fn alloc(&self, len: u64, align: u64) -> Option<Extent> {
        self.with(|state| {
            let start = state.next.next_multiple_of(align);
            state.next = start + len;
            state.live.insert(start, vec![0xaa; usize::try_from(len).ok()?]);
            Extent::new(start, len)
        })
    }

    fn fill(&self, extent: Extent, bytes: &[u8]) {
        self.with(|state| state.live.insert(extent.start(), bytes.to_vec()));
    }

    fn free(&self, extent: Extent) {
        self.with(|state| assert!(state.live.remove(&extent.start()).is_some(), "{extent} is not taken"));
    }
}
