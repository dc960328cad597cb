//! Modules that refer to each other: what each exports and uses, and in which order a set of them loads.
//!
//! A module's symbols can be used once it is initialised. Loading takes the lock of the set for look-ups only, so modules
//! that do not need each other load at the same time, in as many threads as there are.

use core::cell::Cell;

use execmem::sync::{Lock, Locking};
use execmem::{EngineRef, Extent};

use super::image::ModuleImage;
use super::lease::Lease;
use super::limits::LoadLimits;
use super::load::Loader;
use super::per_cpu::{NoPerCpu, PerCpu};
use super::stages::{Coming, Module};
use super::state::{Entry, Number, State};
use super::symbols::Symbols;
use crate::{Error, ModuleKinds, Name};

/// The modules of one engine, by name.
#[derive(Debug)]
pub struct Modules<E: EngineRef<Set: ModuleKinds> + Clone, P: PerCpu + Clone = NoPerCpu> {
    loader: Loader<E, P>,
    state: Lock<<E::Locks as Locking>::Sleep, State<E, P>>,
}

impl<E: EngineRef<Set: ModuleKinds> + Clone> Modules<E> {
    /// No modules, in the memory of an engine.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownMachine`].
    pub fn new(engine: E) -> Result<Self, Error> {
        Modules::with_limits(engine, LoadLimits::DEFAULT)
    }

    /// The same, with limits for each module.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub fn with_limits(engine: E, limits: LoadLimits) -> Result<Self, Error> {
        Ok(Modules::with_loader(Loader::with_limits(engine, limits)?))
    }
}

impl<E: EngineRef<Set: ModuleKinds> + Clone, P: PerCpu + Clone> Modules<E, P> {
    /// No modules, loaded by a loader from now on.
    pub fn with_loader(loader: Loader<E, P>) -> Self {
        Modules { loader, state: Lock::new(State::new()) }
    }

    /// Loads a module, lets `init` initialise it, exports its symbols, and links it with the modules that it patches and those
    /// that patch it ([`Module::link_object`], by their names here): all of that, or nothing. Symbols that no module exports
    /// come from `outside`.
    ///
    /// # Errors
    ///
    /// [`Error::Duplicate`], [`Error::DuplicateSymbol`], what `init` says, and the errors of [`Loader::load`] and
    /// [`Coming::finish_or_unload`].
    pub fn load(
        &self,
        name: &str,
        data: &[u8],
        outside: &impl Symbols,
        init: impl FnOnce(&Coming<E, P>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.load_finalized(name, data, outside, |_| Ok(()), init)
    }

    /// The same, with a [finalize step](Loader::load_finalized).
    ///
    /// # Errors
    ///
    /// What `finalize` says, and the errors of [`load`](Self::load).
    pub fn load_finalized(
        &self,
        name: &str,
        data: &[u8],
        outside: &impl Symbols,
        finalize: impl FnOnce(&mut ModuleImage<'_, E::Set>) -> Result<(), Error>,
        init: impl FnOnce(&Coming<E, P>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let number = self.state.with(|state| state.enter(name))?;
        // What a look-up that had no memory did not find must not count as a weak symbol that is nowhere.
        let failure = Cell::new(None);
        let import = |symbol: &str| self.state.with(|state| state.import(number, symbol));
        let imported = |symbol: &str| {
            import(symbol).unwrap_or_else(|error| {
                failure.set(Some(error));
                None
            })
        };
        let symbols = |symbol: &str| imported(symbol).or_else(|| outside.address(symbol));
        let loaded = self.loader.load_finalized(data, &symbols, finalize).and_then(|coming| {
            match failure.get().map_or_else(|| init(&coming), Err) {
                Ok(()) => coming.finish_or_unload(),
                Err(error) => {
                    coming.unload();
                    Err(error)
                }
            }
        });
        let exported = loaded.map_err(|error| failure.get().unwrap_or(error)).and_then(|module| {
            let mut module = Some(module);
            let exported = self.state.with(|state| state.export(number, &mut module));
            module.into_iter().for_each(|module| module.unload());
            exported
        });
        exported.inspect_err(|_| {
            self.state.with(|state| state.remove(number));
        })
    }

    /// Unloads a module, once it is unlinked from those that patch it. No processor may execute or refer to it any more.
    ///
    /// # Errors
    ///
    /// [`Error::NoSuchModule`], also while it is being loaded; [`Error::ModuleInUse`] if others refer to it;
    /// [`Error::Leased`] if its code is held.
    pub fn unload(&self, name: &str) -> Result<(), Error> {
        let module = self.state.with(|state| {
            let missing = Error::NoSuchModule { module: Name::new(name) };
            let (number, entry) = state.loaded(name).ok_or(missing)?;
            match (entry.users, entry.leases) {
                (0, 0) => state.unlink(number).and_then(|()| state.remove(number).ok_or(missing)),
                (0, leases) => Err(Error::Leased { module: Name::new(name), leases }),
                (users, _) => Err(Error::ModuleInUse { module: Name::new(name), users }),
            }
        })?;
        module.unload();
        Ok(())
    }

    /// Unloads a module once nothing holds its code any more. From now on it cannot be leased, and no other module can
    /// refer to it; `wait` is called as long as its code is held.
    ///
    /// # Errors
    ///
    /// [`Error::NoSuchModule`]; [`Error::ModuleInUse`] if others refer to it, and then it does not go.
    pub fn unload_waiting(&self, name: &str, mut wait: impl FnMut()) -> Result<(), Error> {
        self.state.with(|state| {
            let (number, entry) = state.loaded(name).ok_or(Error::NoSuchModule { module: Name::new(name) })?;
            if entry.users > 0 {
                return Err(Error::ModuleInUse { module: Name::new(name), users: entry.users });
            }
            state.modules.get_mut(&number).into_iter().for_each(|entry| entry.is_leaving = true);
            Ok(())
        })?;
        loop {
            match self.unload(name) {
                Err(Error::Leased { .. }) => wait(),
                Err(error) => {
                    let stay = |entry: &mut Entry<E, P>| entry.is_leaving = false;
                    self.state.with(|state| state.modules.values_mut().filter(|e| *e.name == *name).for_each(stay));
                    return Err(error);
                }
                Ok(()) => return Ok(()),
            }
        }
    }

    /// Holds the code of a module, so that it is not unloaded.
    ///
    /// # Errors
    ///
    /// [`Error::NoSuchModule`], also while it is being loaded and when it is about to go.
    pub fn lease(&self, name: &str) -> Result<Lease<'_, E, P>, Error> {
        let missing = Error::NoSuchModule { module: Name::new(name) };
        let number = self.state.with(|state| state.loaded(name).map(|(number, _)| number));
        Lease::new(self, number.ok_or(missing)?).ok_or(missing)
    }

    /// Holds the code of the module that an address lies in. `None` if it is no module's, or that is about to go.
    #[must_use]
    pub fn lease_at(&self, address: u64) -> Option<Lease<'_, E, P>> {
        self.loader.engine().find(address)?;
        let number = self.state.with(|state| {
            let is_there = |(_, entry): &(&Number, &Entry<E, P>)| {
                let extents = entry.module.iter().flat_map(|module| module.extents());
                { extents }.any(|(_, extent)| extent.contains(address))
            };
            state.modules.iter().find(is_there).map(|(number, _)| *number)
        });
        Lease::new(self, number?)
    }

    /// Holds the code of a module once more. Whether it may be.
    pub(super) fn hold(&self, number: Number) -> bool {
        self.state.with(|state| {
            let entry = state.modules.get_mut(&number).filter(|entry| entry.module.is_some() && !entry.is_leaving);
            entry.map(|entry| entry.leases += 1).is_some()
        })
    }

    /// Ends one hold.
    pub(super) fn release(&self, number: Number) {
        let end = |entry: &mut Entry<E, P>| entry.leases = entry.leases.saturating_sub(1);
        self.state.with(|state| state.modules.get_mut(&number).into_iter().for_each(end));
    }

    /// Looks at a module whose code is held.
    pub(super) fn held<O>(&self, number: Number, body: impl FnOnce(&Module<E, P>) -> O) -> Option<O> {
        self.state.with(|state| state.modules.get(&number)?.module.as_ref().map(body))
    }

    /// Unloads every module, users before what they use and those that patch others first; those whose code is held stay,
    /// and what they use. Takes no memory.
    pub fn unload_all(&self) {
        loop {
            let module = self.state.with(|state| {
                let is_unused = |(_, entry): &(&Number, &Entry<E, P>)| {
                    entry.users == 0 && entry.leases == 0 && entry.module.is_some()
                };
                let patches = |(_, entry): &(&Number, &Entry<E, P>)| {
                    entry.module.as_ref().is_some_and(|module| module.patches_others())
                };
                let unused = || state.modules.iter().filter(is_unused);
                let first = unused().find(patches).or_else(|| unused().next());
                let number = first.map(|(number, _)| *number)?;
                state.unlink(number).ok()?;
                state.remove(number)
            });
            match module {
                Some(module) => module.unload(),
                None => return,
            }
        }
    }

    /// Looks at a module. No other thread can load or unload one meanwhile.
    ///
    /// # Errors
    ///
    /// [`Error::NoSuchModule`].
    pub fn with<O>(&self, name: &str, body: impl FnOnce(&Module<E, P>) -> O) -> Result<O, Error> {
        let missing = Error::NoSuchModule { module: Name::new(name) };
        self.state.with(|state| state.loaded(name)?.1.module.as_ref().map(body)).ok_or(missing)
    }

    /// Calls `found` with the module that an address lies in, the symbol at or before it, and the distance from that.
    /// `None` if it is no module's, or there is no symbol.
    pub fn symbol_at<O>(&self, address: u64, found: impl FnOnce(&str, &str, u64) -> O) -> Option<O> {
        self.state.with(|state| {
            let entry = state.modules.values().find(|entry| {
                let module = entry.module.as_ref();
                module.is_some_and(|module| module.extents().any(|(_, extent)| extent.contains(address)))
            })?;
            let (symbol, distance) = entry.module.as_ref()?.names().symbol_at(address)?;
            Some(found(&entry.name, symbol, distance))
        })
    }

    /// How many modules are loaded.
    #[must_use]
    pub fn len(&self) -> usize {
        self.state.with(|state| state.modules.values().filter(|entry| entry.module.is_some()).count())
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Calls `each` with every piece of memory of all modules. No other thread can load or unload one meanwhile.
    pub fn for_each_extent(&self, mut each: impl FnMut(E::Set, Extent)) {
        self.state.with(|state| {
            let modules = state.modules.values().filter_map(|entry| entry.module.as_ref());
            modules.flat_map(|module| module.extents()).for_each(|(kind, extent)| each(kind, extent));
        });
    }
}
