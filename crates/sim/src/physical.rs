//! What happens to physical memory besides mappings: other users of frames, fragmentation, the direct map.

use std::collections::BTreeMap;
use std::sync::Arc;

use execmem_types::{BackendError, Extent, PageSize};

use crate::direct::{Alias, DirectChange};
use crate::sim::{Control, Sim};
use crate::state::{State, large_page};
use crate::tables::Tables;

/// The direct map at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DirectReport {
    /// Leaves by size.
    pub leaves: BTreeMap<PageSize, u64>,
    /// Bytes in leaves larger than the smallest.
    pub large_bytes: u64,
    /// Tables whose counter of writable entries is wrong.
    pub drifted: u64,
}

#[expect(clippy::must_use_candidate, reason = "called for what it does to the machine")]
impl Control {
    /// The direct map as it is. Empty if the machine has none.
    #[must_use]
    pub fn direct_map(&self) -> DirectReport {
        let state = self.state.lock();
        let Some(direct) = &state.direct else { return DirectReport::default() };
        let leaves = direct.count();
        let large = leaves.iter().filter(|(size, _)| **size > state.machine.page());
        DirectReport {
            large_bytes: large.map(|(size, count)| size.bytes() * count).sum(),
            drifted: direct.drifted(),
            leaves,
        }
    }

    /// The direct map's tables, which can be walked at any time, whatever happens to the machine. In frames of the
    /// machine's page size. `None` if it has no direct map.
    #[must_use]
    pub fn direct_tables(&self) -> Option<Arc<Tables>> {
        self.state.lock().direct.as_ref().map(|direct| Arc::clone(direct.tables()))
    }

    /// Size and rights of the direct map's leaf of a physical address. `None` beyond memory.
    #[must_use]
    pub fn direct_leaf(&self, physical: u64) -> Option<(PageSize, Alias)> {
        let state = self.state.lock();
        let frame = physical / state.memory.frame_bytes();
        state.direct.as_ref()?.leaf_of(frame).map(|(_, size, alias)| (size, alias))
    }

    /// Keeps the direct map's entry of a physical address small, as for memory whose entries are changed by hand.
    pub fn pin_small(&self, physical: u64) {
        let mut state = self.state.lock();
        let frame = physical / state.memory.frame_bytes();
        let splits = state.direct.as_mut().map_or(0, |direct| direct.pin(frame));
        state.count_direct(DirectChange { splits, ..DirectChange::default() });
    }

    /// Ends that.
    pub fn unpin_small(&self, physical: u64) {
        let mut state = self.state.lock();
        let frame = physical / state.memory.frame_bytes();
        state.direct.iter_mut().for_each(|direct| direct.unpin(frame));
    }

    /// Changes the direct map's entry of a physical address without the tracker's knowledge.
    pub fn write_behind(&self, physical: u64, alias: Alias) {
        let mut state = self.state.lock();
        let frame = physical / state.memory.frame_bytes();
        state.direct.iter_mut().for_each(|direct| direct.write_behind(frame, alias));
        state.flush(1);
    }

    /// Takes single pages for a user that maps nothing: page cache, buffers. Physical addresses; fewer if there are none.
    #[must_use]
    pub fn take_pages(&self, count: u64) -> Vec<u64> {
        let mut state = self.state.lock();
        let bytes = state.memory.frame_bytes();
        (0..count).map_while(|_| state.memory.take(1, 0)).map(|frame| frame * bytes).collect()
    }

    /// Gives such pages back.
    pub fn give_pages(&self, pages: &[u64]) {
        let mut state = self.state.lock();
        let bytes = state.memory.frame_bytes();
        pages.iter().for_each(|page| state.memory.give_back(page / bytes, 1));
    }

    /// Takes pages that only their user can see, as `memfd_secret` does: from the cache of unmapped frames if the
    /// machine has one, else page by page out of the direct map.
    #[must_use]
    pub fn take_secret_pages(&self, count: u64) -> Vec<u64> {
        let mut state = self.state.lock();
        let bytes = state.memory.frame_bytes();
        let mut pages = Vec::new();
        for _ in 0..count {
            let Some(frame) = state.take_frames(1, 0) else { break };
            let has_changed = state.set_alias(frame, 1, Alias::Absent);
            state.flush(u64::from(has_changed));
            pages.push(frame * bytes);
        }
        pages
    }

    /// Gives secret pages back.
    pub fn give_secret_pages(&self, pages: &[u64]) {
        let mut state = self.state.lock();
        let bytes = state.memory.frame_bytes();
        for page in pages {
            let has_changed = state.set_alias(page / bytes, 1, Alias::ReadWrite);
            state.flush(u64::from(has_changed));
            state.give_frames(page / bytes, 1);
        }
    }

    /// Asks the cache of unmapped frames for what is not in use. Returns the bytes that came back.
    pub fn shrink_cache(&self) -> u64 {
        let mut state = self.state.lock();
        let State { cache, memory, direct, .. } = &mut *state;
        let (Some(cache), Some(direct)) = (cache, direct) else { return 0 };
        let mut change = DirectChange::default();
        let frames = cache.shrink(memory, direct, &mut change);
        state.count_direct(change);
        frames * state.memory.frame_bytes()
    }

    /// Bytes in the cache of unmapped frames, and those of them that are not in use.
    #[must_use]
    pub fn cached_bytes(&self) -> (u64, u64) {
        let state = self.state.lock();
        let bytes = state.memory.frame_bytes();
        let (all, free) = state.cache.as_ref().map_or((0, 0), |cache| cache.frames());
        (all * bytes, free * bytes)
    }

    /// Nodes of memory.
    #[must_use]
    pub fn node_count(&self) -> u64 {
        self.state.lock().memory.node_count() as u64
    }

    /// Bytes of memory that are free.
    #[must_use]
    pub fn free_bytes(&self) -> u64 {
        let state = self.state.lock();
        state.memory.free_frames() * state.memory.frame_bytes()
    }

    /// Leaves memory as a system that has been running leaves it: in each of `units` large pages, spread
    /// evenly, about half the pages are in use and the free ones lie in blocks of 1 to 64.
    pub fn fragment(&self, units: u64, seed: u64) {
        let mut state = self.state.lock();
        let unit = large_page(&state.machine).bytes() / state.memory.frame_bytes();
        let mut random = seed | 1;
        let mut taken = Vec::new();
        for index in 0..units {
            let node = usize::try_from(index).unwrap_or(0) % state.memory.node_count();
            taken.extend(state.memory.take_on(unit, node));
        }
        for start in taken {
            let mut at = 0;
            while at < unit {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                // Blocks keep their alignment, so that they stay apart.
                let order = (random >> 33) % 7;
                let len = (1_u64 << order).min(1 << at.trailing_zeros().min(63)).min(unit - at);
                let len = 1 << len.ilog2();
                if (random >> 61).is_multiple_of(2) {
                    state.memory.give_back(start + at, len);
                }
                at += len;
            }
        }
    }
}

impl Sim {
    /// Makes the direct map forget the rights of mapped memory that is about to go: not present, then writable again, page
    /// by page, as Linux does for memory with `VM_FLUSH_RESET_PERMS`.
    ///
    /// # Errors
    ///
    /// [`BackendError::NotMapped`].
    pub fn reset_alias(&self, extent: Extent) -> Result<(), BackendError> {
        let mut state = self.state.lock();
        let leaves = state.own_leaves(extent)?;
        for alias in [Alias::Absent, Alias::ReadWrite] {
            for (_, leaf) in &leaves {
                let count = leaf.size.bytes() / state.memory.frame_bytes();
                state.set_alias(leaf.frame, count, alias);
            }
        }
        state.flush(1);
        Ok(())
    }
}
