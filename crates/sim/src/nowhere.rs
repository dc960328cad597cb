//! Memory that takes everything and is not there.

use execmem_types::{Access, Backend, BackendError, Extent, Mapping, PageSize, Protection, SyncScope, Trap};

/// A backend that accepts every call and does nothing, for what an engine costs by itself: it takes no heap and no stack. Reads
/// leave the caller's bytes as they are.
#[derive(Debug, Clone, Copy, Default)]
pub struct Nowhere;

impl Backend for Nowhere {
    fn map(&self, _: &Mapping) -> Result<(), BackendError> {
        Ok(())
    }
    fn unmap(&self, _: Extent) -> Result<(), BackendError> {
        Ok(())
    }
    fn protect(&self, _: Extent, _: Protection) -> Result<(), BackendError> {
        Ok(())
    }
    fn write(&self, _: Access, _: u64, _: &[u8]) -> Result<(), BackendError> {
        Ok(())
    }
    fn fill(&self, _: Access, _: Extent, _: Trap) -> Result<(), BackendError> {
        Ok(())
    }
    fn read(&self, _: u64, _: &mut [u8]) -> Result<(), BackendError> {
        Ok(())
    }
    fn sync_code(&self, _: Extent, _: SyncScope) -> Result<(), BackendError> {
        Ok(())
    }
    fn collapses(&self) -> bool {
        true
    }
    fn collapse(&self, _: Extent, _: PageSize) -> Result<(), BackendError> {
        Ok(())
    }
    fn adopt(&self, _: Extent, _: Protection) -> Result<(), BackendError> {
        Ok(())
    }
}
