//! Code of loaded modules that clients change, and what keeps it alive meanwhile.

use core::fmt;

use execmem::EngineRef;

use super::per_cpu::{NoPerCpu, PerCpu};
use super::set::Modules;
use super::stages::Module;
use super::state::Number;
use crate::site::{CodeSite, Own};
use crate::{Error, ModuleKinds};

/// A module that its owner keeps loaded. Holding its code is the owner's business: it is not unloaded while this is borrowed.
impl<E: EngineRef<Set: ModuleKinds>, P: PerCpu> CodeSite for Module<E, P> {
    fn read(&self, address: u64, bytes: &mut [u8]) -> Result<(), Error> {
        self.with_part(address, |code| code.read(address, bytes))
    }

    fn patch(&self, address: u64, bytes: &[u8]) -> Result<(), Error> {
        self.with_part(address, |code| code.patch(address, bytes))
    }

    fn patch_unexecuted(&self, address: u64, bytes: &[u8]) -> Result<(), Error> {
        self.with_part(address, |code| code.patch_unexecuted(address, bytes))
    }

    fn check_patchable(&self, address: u64) -> Result<(), Error> {
        self.with_part(address, |code| code.check_patchable(address))
    }

    fn hold(&self, address: u64) -> Result<(), Error> {
        self.with_part(address, |code| code.hold(address))
    }

    fn release(&self, _address: u64) {}
}

impl<E: EngineRef<Set: ModuleKinds>, P: PerCpu> Module<E, P> {
    /// Does something to the code that holds an address.
    fn with_part<O>(
        &self,
        address: u64,
        body: impl FnOnce(&Own<'_, E::Memory, E::Set, E::Locks, E::Set>) -> Result<O, Error>,
    ) -> Result<O, Error> {
        let (engine, live) = self.part(address).ok_or(Error::NoCode { address })?;
        body(&Own { engine, live })
    }
}

/// The code of a module of a set, held: the module is not unloaded while this lives, nor while a site is patched that a client
/// has changed by it.
#[must_use = "the module may be unloaded at once"]
pub struct Lease<'m, E: EngineRef<Set: ModuleKinds> + Clone, P: PerCpu + Clone = NoPerCpu> {
    modules: &'m Modules<E, P>,
    number: Number,
}

impl<E: EngineRef<Set: ModuleKinds> + Clone, P: PerCpu + Clone> fmt::Debug for Lease<'_, E, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Lease").field(&self.number).finish()
    }
}

impl<'m, E: EngineRef<Set: ModuleKinds> + Clone, P: PerCpu + Clone> Lease<'m, E, P> {
    pub(super) fn new(modules: &'m Modules<E, P>, number: Number) -> Option<Self> {
        modules.hold(number).then(|| Lease { modules, number })
    }

    /// Looks at the module. No other thread can load or unload one meanwhile.
    ///
    /// # Errors
    ///
    /// Never, as long as the lease lives.
    pub fn with<O>(&self, body: impl FnOnce(&Module<E, P>) -> O) -> Result<O, Error> {
        self.modules.held(self.number, body).ok_or(Error::NoCode { address: 0 })
    }
}

impl<E: EngineRef<Set: ModuleKinds> + Clone, P: PerCpu + Clone> Drop for Lease<'_, E, P> {
    fn drop(&mut self) {
        self.modules.release(self.number);
    }
}

impl<E: EngineRef<Set: ModuleKinds> + Clone, P: PerCpu + Clone> CodeSite for Lease<'_, E, P> {
    fn read(&self, address: u64, bytes: &mut [u8]) -> Result<(), Error> {
        self.with(|module| module.read(address, bytes))?
    }

    fn patch(&self, address: u64, bytes: &[u8]) -> Result<(), Error> {
        self.with(|module| module.patch(address, bytes))?
    }

    fn patch_unexecuted(&self, address: u64, bytes: &[u8]) -> Result<(), Error> {
        self.with(|module| module.patch_unexecuted(address, bytes))?
    }

    fn check_patchable(&self, address: u64) -> Result<(), Error> {
        self.with(|module| module.check_patchable(address))?
    }

    fn hold(&self, address: u64) -> Result<(), Error> {
        self.check_patchable(address)?;
        self.modules.hold(self.number).then_some(()).ok_or(Error::NoCode { address })
    }

    fn release(&self, _address: u64) {
        self.modules.release(self.number);
    }
}
