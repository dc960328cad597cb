//! The machine as a [`Backend`].

use std::collections::BTreeMap;

use execmem_types::{Access, Backend, BackendError, Extent, Machine, Mapping, PageSize, Protection, SyncScope, Trap};
use parking_lot::Mutex;

use crate::faults::Faults;
use crate::memory::Memory;
use crate::paging::{Leaf, Owner, Paging};
use crate::unsynced::Unsynced;

/// Frames of a machine whose memory is not limited.
const UNLIMITED: u64 = u64::MAX / 2;

/// What the machine counted.
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
    /// Writes through a temporary mapping.
    pub pokes: u64,
    /// Writes at the address itself.
    pub stores: u64,
}

/// A simulated machine.
///
/// Each operation checks the rights of every page it touches. Memory can be executed through [`fetch`](Self::fetch),
/// which also finds bytes that were written and not made known to instruction fetch.
#[derive(Debug)]
pub struct Sim {
    pub(crate) state: Mutex<State>,
}

#[derive(Debug)]
pub(crate) struct State {
    pub(crate) machine: Machine,
    pub(crate) memory: Memory,
    pub(crate) paging: Paging,
    pub(crate) faults: Faults,
    pub(crate) counts: Counts,
    pub(crate) unsynced: Unsynced,
}

impl Sim {
    /// A machine with as much memory as wanted.
    #[must_use]
    pub fn new(machine: &Machine) -> Self {
        Sim::with_frames(machine, UNLIMITED)
    }

    /// A machine with `bytes` of memory.
    #[must_use]
    pub fn with_memory(machine: &Machine, bytes: u64) -> Self {
        Sim::with_frames(machine, bytes / machine.page().bytes())
    }

    fn with_frames(machine: &Machine, frames: u64) -> Self {
        let memory = Memory::new(machine.page().bytes(), frames);
        let state = State {
            machine: *machine,
            memory,
            paging: Paging::default(),
            faults: Faults::default(),
            counts: Counts::default(),
            unsynced: Unsynced::default(),
        };
        Sim { state: Mutex::new(state) }
    }

    /// Refuses the backend call after the next `after` ones, once.
    pub fn refuse_once(&self, after: u64) {
        self.state.lock().faults.refuse(after, false);
    }

    /// Refuses every backend call after the next `after` ones.
    pub fn refuse_from(&self, after: u64) {
        self.state.lock().faults.refuse(after, true);
    }

    /// Makes pages larger than `largest` unavailable.
    pub fn limit_pages(&self, largest: PageSize) {
        self.state.lock().faults.limit_pages(largest);
    }

    /// Leaves `left` pages of other than the smallest size available.
    pub fn limit_large_pages(&self, left: u64) {
        self.state.lock().faults.limit_large_pages(left);
    }

    /// Refuses nothing any more.
    pub fn refuse_nothing(&self) {
        self.state.lock().faults.stop();
    }

    /// Backend calls that can fail, so far.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.state.lock().faults.calls()
    }

    /// What was counted so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.state.lock().counts
    }

    /// Leaf entries of the engine's memory by size.
    #[must_use]
    pub fn leaves(&self) -> BTreeMap<PageSize, u64> {
        self.state.lock().paging.count()
    }

    /// Bytes of physical memory in use.
    #[must_use]
    pub fn bytes_in_use(&self) -> u64 {
        let state = self.state.lock();
        state.memory.in_use() * state.memory.frame_bytes()
    }

    /// Bytes that are writable and executable at once. Zero unless a legacy table asked for it.
    #[must_use]
    pub fn wx_bytes(&self) -> u64 {
        let state = self.state.lock();
        let both = |leaf: &&Leaf| leaf.is_writable_and_executable;
        state.paging.iter().map(|(_, leaf)| leaf).filter(both).map(|leaf| leaf.size.bytes()).sum()
    }

    /// Maps memory as the kernel would map its own image; [`Backend::adopt`] can take it over.
    ///
    /// # Errors
    ///
    /// As [`Backend::map`].
    pub fn map_kernel(&self, extent: Extent, page: PageSize, protection: Protection) -> Result<(), BackendError> {
        let mapping = Mapping {
            extent,
            page,
            protection,
            unused: Trap::ZERO,
            is_shadowed: false,
            is_writable_and_executable: false,
        };
        self.state.lock().map(&mapping, Owner::Kernel)
    }
}

impl State {
    fn map(&mut self, mapping: &Mapping, owner: Owner) -> Result<(), BackendError> {
        let Mapping { extent, page, .. } = *mapping;
        if !extent.is_aligned(page.bytes()) || !self.machine.leaves().any(|leaf| leaf == page) {
            return Err(BackendError::NotPages { extent, page });
        }
        if self.paging.overlaps(extent) {
            return Err(BackendError::AlreadyMapped { extent });
        }
        self.faults.check_pages(page, self.machine.page(), extent.len() / page.bytes())?;
        let per_leaf = page.bytes() / self.memory.frame_bytes();
        let mut rest = Some(extent);
        while let Some(part) = rest {
            // The content is there before the leaf is: law 3.
            let Some(frame) = self.memory.take(per_leaf, mapping.unused) else {
                let mapped = extent.part(0, part.start() - extent.start());
                mapped.into_iter().for_each(|mapped| self.release(mapped));
                return Err(BackendError::OutOfMemory { len: extent.len(), page });
            };
            let leaf = Leaf {
                size: page,
                frame,
                protection: mapping.protection,
                is_writable_and_executable: mapping.is_writable_and_executable,
                owner,
            };
            let whole = part.part(0, page.bytes()).unwrap_or(part);
            self.paging.insert(whole, per_leaf, leaf);
            rest = part.part(page.bytes(), part.len() - page.bytes());
        }
        self.counts.maps += u64::from(owner == Owner::Engine);
        Ok(())
    }

    /// Removes the leaves of an extent and gives their frames back.
    fn release(&mut self, extent: Extent) {
        for (start, leaf) in self.paging.leaves_of(extent).unwrap_or_default() {
            self.paging.remove(start);
            self.memory.give_back(leaf.frame, leaf.size.bytes() / self.memory.frame_bytes());
        }
        self.unsynced.forget(extent);
    }

    /// The leaves of an extent, all of which belong to the engine.
    fn own_leaves(&self, extent: Extent) -> Result<Vec<(u64, Leaf)>, BackendError> {
        let leaves = self.paging.leaves_of(extent)?;
        match leaves.iter().find(|(_, leaf)| leaf.owner != Owner::Engine) {
            Some(&(address, _)) => Err(BackendError::NotMapped { address }),
            None => Ok(leaves),
        }
    }

    fn unmap(&mut self, extent: Extent) -> Result<(), BackendError> {
        let leaves = self.own_leaves(extent)?;
        let is_whole = leaves
            .iter()
            .all(|&(start, leaf)| Extent::new(start, leaf.size.bytes()).is_some_and(|whole| extent.covers(whole)));
        if !is_whole {
            return Err(BackendError::NotPages { extent, page: leaves[0].1.size });
        }
        self.release(extent);
        self.counts.unmaps += 1;
        self.counts.global_flushes += 1;
        Ok(())
    }

    fn protect(&mut self, extent: Extent, protection: Protection) -> Result<(), BackendError> {
        self.own_leaves(extent)?;
        let changed = self.paging.protect(&self.machine, extent, protection)?;
        self.counts.permission_changes += changed.leaves;
        self.counts.splits += changed.splits;
        self.counts.global_flushes += u64::from(changed.leaves > 0) + changed.splits;
        Ok(())
    }

    fn collapse(&mut self, extent: Extent, page: PageSize) -> Result<(), BackendError> {
        let leaves = self.own_leaves(extent)?;
        if !extent.is_aligned(page.bytes()) || !self.machine.leaves().any(|leaf| leaf == page) {
            return Err(BackendError::NotPages { extent, page });
        }
        let (_, first) = leaves[0];
        if let Some(&(address, odd)) = leaves.iter().find(|(_, leaf)| leaf.protection != first.protection) {
            return Err(BackendError::Denied { address, protection: odd.protection });
        }
        self.faults.check_pages(page, self.machine.page(), extent.len() / page.bytes())?;
        let mut content = vec![0; usize::try_from(extent.len()).unwrap_or(0)];
        self.copy_out(extent.start(), &mut content, |_| true)?;
        let per_leaf = page.bytes() / self.memory.frame_bytes();
        let frames = extent.len() / self.memory.frame_bytes();
        let Some(frame) = self.memory.take(frames.max(per_leaf), Trap::ZERO) else {
            return Err(BackendError::OutOfMemory { len: extent.len(), page });
        };
        let unsynced = core::mem::take(&mut self.unsynced);
        self.release(extent);
        self.unsynced = unsynced;
        self.paging.insert(extent, per_leaf, Leaf { size: page, frame, ..first });
        self.copy_in(extent.start(), &content, |_| true)?;
        self.counts.merges += 1;
        self.counts.global_flushes += 1;
        Ok(())
    }
}

impl Backend for Sim {
    fn map(&self, mapping: &Mapping) -> Result<(), BackendError> {
        let mut state = self.state.lock();
        state.faults.check()?;
        state.map(mapping, Owner::Engine)
    }

    fn unmap(&self, extent: Extent) -> Result<(), BackendError> {
        let mut state = self.state.lock();
        state.faults.check()?;
        state.unmap(extent)
    }

    fn protect(&self, extent: Extent, protection: Protection) -> Result<(), BackendError> {
        let mut state = self.state.lock();
        state.faults.check()?;
        state.protect(extent, protection)
    }

    fn write(&self, access: Access, address: u64, bytes: &[u8]) -> Result<(), BackendError> {
        let mut state = self.state.lock();
        state.faults.check()?;
        state.write(access, address, bytes)
    }

    fn fill(&self, access: Access, extent: Extent, pattern: Trap) -> Result<(), BackendError> {
        let mut bytes = vec![0; usize::try_from(extent.len()).unwrap_or(0)];
        pattern.fill(extent.start(), &mut bytes);
        let mut state = self.state.lock();
        state.faults.check()?;
        state.write(access, extent.start(), &bytes)
    }

    fn read(&self, address: u64, bytes: &mut [u8]) -> Result<(), BackendError> {
        let state = self.state.lock();
        state.copy_out(address, bytes, |leaf| leaf.protection != Protection::NoAccess)
    }

    fn sync_code(&self, extent: Extent, _scope: SyncScope) -> Result<(), BackendError> {
        let mut state = self.state.lock();
        state.faults.check()?;
        state.unsynced.forget(extent);
        Ok(())
    }

    fn collapse(&self, extent: Extent, page: PageSize) -> Result<(), BackendError> {
        let mut state = self.state.lock();
        state.faults.check()?;
        state.collapse(extent, page)
    }

    fn adopt(&self, extent: Extent, protection: Protection) -> Result<(), BackendError> {
        let mut state = self.state.lock();
        state.faults.check()?;
        let leaves = state.paging.leaves_of(extent)?;
        let wrong = leaves.iter().find(|(_, leaf)| leaf.protection != protection || leaf.owner == Owner::Engine);
        if let Some(&(address, leaf)) = wrong {
            return Err(BackendError::Denied { address, protection: leaf.protection });
        }
        for (start, leaf) in leaves {
            let whole = Extent::new(start, leaf.size.bytes());
            let per_leaf = leaf.size.bytes() / state.memory.frame_bytes();
            whole.into_iter().for_each(|whole| {
                state.paging.insert(whole, per_leaf, Leaf { owner: Owner::Adopted, ..leaf });
            });
        }
        Ok(())
    }
}
