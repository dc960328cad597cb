//! The simulated machine as the memory of an engine.

use execmem_types::{Access, Backend, BackendError, Extent, Mapping, PageSize, Protection, SyncScope, Trap};

use crate::paging::{Leaf, Owner};
use crate::sim::Sim;
use crate::state::Relocate;

impl Backend for Sim {
    fn map(&self, mapping: &Mapping) -> Result<(), BackendError> {
        let mut state = self.state.lock();
        state.faults.check()?;
        state.map(mapping, Owner::Engine, 0)
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
        state.counts.code_syncs += 1;
        Ok(())
    }

    fn collapses(&self) -> bool {
        true
    }

    fn collapse(&self, extent: Extent, page: PageSize) -> Result<(), BackendError> {
        let mut state = self.state.lock();
        state.faults.check()?;
        state.collapse(extent, page, Relocate::Allowed)
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
