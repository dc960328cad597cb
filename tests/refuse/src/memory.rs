//! Memory for the engines under test.

use execmem::Table;
use execmem_sim::{Nowhere, Sim};
use execmem_types::{
    Access, Backend, BackendError, Extent, Mapping, PageSize, PowerOfTwo, Protection, SyncScope, Trap,
};

use crate::facts::{self, Fact};
use crate::heap::exempt;

/// A backend whose calls are noted, and whose own requests for heap are no business of the test.
#[derive(Debug)]
pub(crate) struct Exempt<B>(pub(crate) B);

/// Notes a call and makes it.
fn noted<O>(fact: Fact, body: impl FnOnce() -> O) -> O {
    facts::note(fact);
    exempt(body)
}

impl<B: Backend> Backend for Exempt<B> {
    fn map(&self, mapping: &Mapping) -> Result<(), BackendError> {
        noted(Fact::Maps, || self.0.map(mapping))
    }
    fn unmap(&self, extent: Extent) -> Result<(), BackendError> {
        noted(Fact::Maps, || self.0.unmap(extent))
    }
    fn protect(&self, extent: Extent, protection: Protection) -> Result<(), BackendError> {
        noted(Fact::Maps, || self.0.protect(extent, protection))
    }
    fn write(&self, access: Access, address: u64, bytes: &[u8]) -> Result<(), BackendError> {
        noted(Fact::Copies, || self.0.write(access, address, bytes))
    }
    fn stores_at_once(&self) -> PowerOfTwo {
        self.0.stores_at_once()
    }
    fn fill(&self, access: Access, extent: Extent, pattern: Trap) -> Result<(), BackendError> {
        noted(Fact::Copies, || self.0.fill(access, extent, pattern))
    }
    fn read(&self, address: u64, bytes: &mut [u8]) -> Result<(), BackendError> {
        noted(Fact::Copies, || self.0.read(address, bytes))
    }
    fn sync_code(&self, extent: Extent, scope: SyncScope) -> Result<(), BackendError> {
        noted(Fact::Tells, || self.0.sync_code(extent, scope))
    }
    fn sync_group(&self, extents: &[Extent], scope: SyncScope) -> Result<(), BackendError> {
        noted(Fact::Tells, || self.0.sync_group(extents, scope))
    }
    fn collapses(&self) -> bool {
        self.0.collapses()
    }
    fn collapse(&self, extent: Extent, page: PageSize) -> Result<(), BackendError> {
        noted(Fact::Maps, || self.0.collapse(extent, page))
    }
    fn adopt(&self, extent: Extent, protection: Protection) -> Result<(), BackendError> {
        noted(Fact::Maps, || self.0.adopt(extent, protection))
    }
}

/// The end of a kernel's text, in its last large page. The first half of the page is the image's.
pub(crate) const IMAGE: u64 = 0xffff_ffff_8120_0000;
pub(crate) const LARGE: PageSize = PageSize::mib(2);

/// Memory that is made for an engine.
pub(crate) trait Make: Backend + Sized {
    /// Memory for a table.
    fn make(table: &Table) -> Self;
}

impl Make for Exempt<Sim> {
    fn make(table: &Table) -> Self {
        let sim = Sim::new(table.machine());
        // Other machines have no address like that, and no donation then.
        let _ = Extent::new(IMAGE, LARGE.bytes()).map(|image| sim.map_kernel(image, LARGE, Protection::ReadExecute));
        Exempt(sim)
    }
}

impl Make for Nowhere {
    fn make(_: &Table) -> Self {
        Nowhere
    }
}

impl Make for Exempt<Nowhere> {
    fn make(_: &Table) -> Self {
        Exempt(Nowhere)
    }
}
