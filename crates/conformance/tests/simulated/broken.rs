//! A backend of which one method, or two, does something else.

use execmem_types::{Access, Backend, BackendError, Extent, Mapping, PageSize, Protection, SyncScope, Trap};

use crate::machine::{Answer, TwoProcessors};

/// What each method does.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Methods {
    pub(crate) map: fn(&TwoProcessors, &Mapping) -> Answer,
    pub(crate) unmap: fn(&TwoProcessors, Extent) -> Answer,
    pub(crate) protect: fn(&TwoProcessors, Extent, Protection) -> Answer,
    pub(crate) write: fn(&TwoProcessors, Access, u64, &[u8]) -> Answer,
    pub(crate) fill: fn(&TwoProcessors, Access, Extent, Trap) -> Answer,
    pub(crate) read: fn(&TwoProcessors, u64, &mut [u8]) -> Answer,
    pub(crate) sync_code: fn(&TwoProcessors, Extent, SyncScope) -> Answer,
    pub(crate) collapse: fn(&TwoProcessors, Extent, PageSize) -> Answer,
    pub(crate) adopt: fn(&TwoProcessors, Extent, Protection) -> Answer,
}

/// Those of the machine, which keep all laws.
pub(crate) const GOOD: Methods = Methods {
    map: <TwoProcessors as Backend>::map,
    unmap: <TwoProcessors as Backend>::unmap,
    protect: <TwoProcessors as Backend>::protect,
    write: <TwoProcessors as Backend>::write,
    fill: <TwoProcessors as Backend>::fill,
    read: <TwoProcessors as Backend>::read,
    sync_code: <TwoProcessors as Backend>::sync_code,
    collapse: <TwoProcessors as Backend>::collapse,
    adopt: <TwoProcessors as Backend>::adopt,
};

/// A machine with other methods.
#[derive(Debug)]
pub(crate) struct Broken<'m> {
    pub(crate) machine: &'m TwoProcessors,
    pub(crate) methods: &'m Methods,
}

impl Backend for Broken<'_> {
    fn check_caller(&self) -> Result<(), BackendError> {
        self.machine.check_caller()
    }

    fn map(&self, mapping: &Mapping) -> Answer {
        (self.methods.map)(self.machine, mapping)
    }

    fn unmap(&self, extent: Extent) -> Answer {
        (self.methods.unmap)(self.machine, extent)
    }

    fn protect(&self, extent: Extent, protection: Protection) -> Answer {
        (self.methods.protect)(self.machine, extent, protection)
    }

    fn write(&self, access: Access, address: u64, bytes: &[u8]) -> Answer {
        (self.methods.write)(self.machine, access, address, bytes)
    }

    fn fill(&self, access: Access, extent: Extent, pattern: Trap) -> Answer {
        (self.methods.fill)(self.machine, access, extent, pattern)
    }

    fn read(&self, address: u64, bytes: &mut [u8]) -> Answer {
        (self.methods.read)(self.machine, address, bytes)
    }

    fn sync_code(&self, extent: Extent, scope: SyncScope) -> Answer {
        (self.methods.sync_code)(self.machine, extent, scope)
    }

    fn collapse(&self, extent: Extent, page: PageSize) -> Answer {
        (self.methods.collapse)(self.machine, extent, page)
    }

    fn adopt(&self, extent: Extent, protection: Protection) -> Answer {
        (self.methods.adopt)(self.machine, extent, protection)
    }
}
