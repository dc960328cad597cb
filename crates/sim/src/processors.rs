//! Accesses of the processors through their translation caches.

use execmem_types::{Extent, PageSize, Protection};

use crate::sim::Control;
use crate::state::State;
use crate::tlb::{TlbCounts, Translation};

#[expect(clippy::must_use_candidate, reason = "called for what it does to the machine")]
impl Control {
    /// A processor fetches an instruction. `false` if the address is not executable.
    pub fn fetch_on(&self, processor: usize, address: u64) -> bool {
        let mut state = self.state.lock();
        let found = state.translation(address).filter(|leaf| leaf.protection.is_executable());
        let (Some(leaf), Some(tlb)) = (found, state.tlbs.get_mut(processor)) else { return false };
        tlb.fetch(address, leaf);
        true
    }

    /// A processor loads from an address. `false` if nothing is mapped there.
    pub fn load_on(&self, processor: usize, address: u64) -> bool {
        let mut state = self.state.lock();
        let found = state.translation(address).filter(|leaf| leaf.protection != Protection::NoAccess);
        let (Some(leaf), Some(tlb)) = (found, state.tlbs.get_mut(processor)) else { return false };
        tlb.load(address, leaf);
        true
    }

    /// A processor loads from physical memory through the direct map, which stands at `base`.
    pub fn load_direct_on(&self, processor: usize, base: u64, physical: u64) -> bool {
        let mut state = self.state.lock();
        let frame_bytes = state.memory.frame_bytes();
        let found = state.direct.as_ref().and_then(|direct| direct.leaf_of(physical / frame_bytes));
        let (Some((start, size, _)), Some(tlb)) = (found, state.tlbs.get_mut(processor)) else { return false };
        let leaf = Translation { start: base + start * frame_bytes, size, protection: Protection::ReadWrite };
        tlb.load(base + physical, leaf);
        true
    }

    /// A processor runs something else, at an address in a page of this size: the kernel's own code, a program.
    pub fn other_on(&self, processor: usize, address: u64, size: PageSize, is_fetch: bool) {
        let mut state = self.state.lock();
        let Some(tlb) = state.tlbs.get_mut(processor) else { return };
        let leaf = Translation { start: size.round_down(address), size, protection: Protection::NoAccess };
        if is_fetch { tlb.fetch(address, leaf) } else { tlb.load(address, leaf) }
    }

    /// What the translation caches counted, over all processors.
    #[must_use]
    pub fn tlb_counts(&self) -> TlbCounts {
        let state = self.state.lock();
        state.tlbs.iter().map(|tlb| tlb.counts).fold(TlbCounts::default(), |sum, one| TlbCounts {
            fetches: sum.fetches + one.fetches,
            fetch_first_misses: sum.fetch_first_misses + one.fetch_first_misses,
            fetch_misses: sum.fetch_misses + one.fetch_misses,
            loads: sum.loads + one.loads,
            load_first_misses: sum.load_first_misses + one.load_first_misses,
            load_misses: sum.load_misses + one.load_misses,
        })
    }

    /// Forgets what the translation caches hold and counted.
    pub fn reset_tlbs(&self) {
        for tlb in &mut self.state.lock().tlbs {
            tlb.flush();
            tlb.counts = TlbCounts::default();
        }
    }

    /// Translations of an extent that some processor holds and the page tables do not have, or not with these rights.
    #[must_use]
    pub fn stale_translations(&self, extent: Extent) -> u64 {
        let state = self.state.lock();
        let entries = state.tlbs.iter().flat_map(|tlb| tlb.entries()).filter(|entry| extent.contains(entry.start));
        let is_stale = |entry: &&Translation| {
            let leaf = state.paging.find(entry.start);
            leaf.is_none_or(|(_, leaf)| leaf.protection != entry.protection)
        };
        entries.filter(is_stale).count() as u64
    }
}

impl State {
    fn translation(&self, address: u64) -> Option<Translation> {
        let (start, leaf) = self.paging.find(address)?;
        Some(Translation { start, size: leaf.size, protection: leaf.protection })
    }
}
