//! Modules that refer to each other: who exports what, who uses whom, and in which order a set of them loads.
//!
//! A module's symbols can be used once it is initialised. Loading takes the lock of the set for look-ups only, so modules
//! that do not need each other load at the same time, in as many threads as there are.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use execmem::sync::{Lock, Locking};
use execmem::{Backend, Engine, Extent, Kind};

use super::load::{Coming, Loader, Module};
use super::symbols::Symbols;
use crate::{Error, Name};

/// The modules of one engine, by name.
#[derive(Debug)]
pub struct Modules<'e, B, L: Locking> {
    engine: &'e Engine<B, L>,
    loader: Loader<'e, B, L>,
    state: Lock<L, State>,
}

#[derive(Debug, Default)]
struct State {
    modules: BTreeMap<Box<str>, Entry>,
    /// Address and module of each exported symbol.
    exports: BTreeMap<Box<str>, (u64, Box<str>)>,
}

#[derive(Debug, Default)]
struct Entry {
    /// `None` until it is initialised.
    module: Option<Module>,
    /// How many modules refer to it.
    users: u64,
    /// The modules that it refers to.
    uses: BTreeSet<Box<str>>,
}

impl State {
    /// An exported symbol. Whoever gets it is a user of the module from now on.
    fn import(&mut self, user: &str, symbol: &str) -> Option<u64> {
        let (address, owner) = self.exports.get(symbol)?;
        let is_new = self.modules.get_mut(user)?.uses.insert(owner.clone());
        if is_new && let Some(owner) = self.modules.get_mut(owner) {
            owner.users += 1;
        }
        Some(*address)
    }

    /// Exports the symbols of a module and keeps it, unless another module exports one of them.
    fn export(&mut self, name: &str, module: &mut Option<Module>) -> Result<(), Error> {
        let Some(new) = module.as_ref() else { return Ok(()) };
        let twice = new.names().exports().find(|(symbol, _)| self.exports.contains_key(*symbol));
        if let Some((symbol, _)) = twice {
            return Err(Error::DuplicateSymbol { name: Name::new(symbol) });
        }
        self.exports.extend(new.names().exports().map(|(symbol, address)| (symbol.into(), (address, name.into()))));
        self.modules.entry(name.into()).or_default().module = module.take();
        Ok(())
    }

    /// Forgets a module and what it uses.
    fn remove(&mut self, name: &str) -> Option<Module> {
        let entry = self.modules.remove(name)?;
        self.exports.retain(|_, (_, owner)| **owner != *name);
        for used in &entry.uses {
            if let Some(used) = self.modules.get_mut(used) {
                used.users -= 1;
            }
        }
        entry.module
    }
}

impl<'e, B: Backend, L: Locking> Modules<'e, B, L> {
    /// No modules, in the memory of an engine.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownMachine`].
    pub fn new(engine: &'e Engine<B, L>) -> Result<Self, Error> {
        Ok(Modules { engine, loader: Loader::new(engine)?, state: Lock::new(State::default()) })
    }

    /// Loads a module, lets `init` initialise it, and exports its symbols: all of that, or nothing. Symbols that no
    /// module exports come from `outside`.
    ///
    /// # Errors
    ///
    /// [`Error::Duplicate`], [`Error::DuplicateSymbol`], what `init` says, and the errors of [`Loader::load`] and
    /// [`Coming::finish`].
    pub fn load(
        &self,
        name: &str,
        data: &[u8],
        outside: &impl Symbols,
        init: impl FnOnce(&Coming) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.state.with(|state| {
            if state.modules.contains_key(name) {
                return Err(Error::Duplicate { module: Name::new(name) });
            }
            state.modules.insert(name.into(), Entry::default());
            Ok(())
        })?;
        let symbols =
            |symbol: &str| self.state.with(|state| state.import(name, symbol)).or_else(|| outside.address(symbol));
        let loaded = self.loader.load(data, &symbols).and_then(|coming| match init(&coming) {
            Ok(()) => coming.finish(self.engine),
            Err(error) => {
                coming.unload(self.engine);
                Err(error)
            }
        });
        let exported = loaded.and_then(|module| {
            let mut module = Some(module);
            let exported = self.state.with(|state| state.export(name, &mut module));
            module.into_iter().for_each(|module| module.unload(self.engine));
            exported
        });
        exported.inspect_err(|_| {
            self.state.with(|state| state.remove(name));
        })
    }

    /// Unloads a module. Nobody may execute or refer to it any more.
    ///
    /// # Errors
    ///
    /// [`Error::NoSuchModule`], also while it is being loaded; [`Error::ModuleInUse`] if others refer to it.
    pub fn unload(&self, name: &str) -> Result<(), Error> {
        let module = self.state.with(|state| {
            let missing = Error::NoSuchModule { module: Name::new(name) };
            let entry = state.modules.get(name).filter(|entry| entry.module.is_some()).ok_or(missing)?;
            match entry.users {
                0 => state.remove(name).ok_or(missing),
                users => Err(Error::ModuleInUse { module: Name::new(name), users }),
            }
        })?;
        module.unload(self.engine);
        Ok(())
    }

    /// Unloads every module, users before what they use.
    pub fn unload_all(&self) {
        loop {
            let unused: Vec<Box<str>> = self.state.with(|state| {
                let unused = state.modules.iter().filter(|(_, entry)| entry.users == 0 && entry.module.is_some());
                unused.map(|(name, _)| name.clone()).collect()
            });
            if unused.is_empty() {
                return;
            }
            for name in unused {
                // Somebody else may have unloaded it, or may use it now.
                let _ = self.unload(&name);
            }
        }
    }

    /// Looks at a module. Nobody else can load or unload one meanwhile.
    ///
    /// # Errors
    ///
    /// [`Error::NoSuchModule`].
    pub fn with<O>(&self, name: &str, body: impl FnOnce(&Module) -> O) -> Result<O, Error> {
        let missing = Error::NoSuchModule { module: Name::new(name) };
        self.state.with(|state| state.modules.get(name)?.module.as_ref().map(body)).ok_or(missing)
    }

    /// The module that an address lies in, and the symbol at or before it with the distance from it.
    #[must_use]
    pub fn symbol_at(&self, address: u64) -> Option<(Box<str>, Box<str>, u64)> {
        self.state.with(|state| {
            state.modules.iter().find_map(|(name, entry)| {
                let module = entry.module.as_ref()?;
                module.extents().find(|(_, extent)| extent.contains(address))?;
                let (symbol, distance) = module.names().symbol_at(address)?;
                Some((name.clone(), symbol.into(), distance))
            })
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

    /// The memory of all modules.
    #[must_use]
    pub fn extents(&self) -> Vec<(Kind, Extent)> {
        self.state.with(|state| {
            let modules = state.modules.values().filter_map(|entry| entry.module.as_ref());
            modules.flat_map(Module::extents).collect()
        })
    }
}
