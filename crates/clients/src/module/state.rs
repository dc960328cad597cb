//! What a set of modules knows of each of them.

use alloc::boxed::Box;
use alloc::vec::Vec;

use execmem::EngineRef;
use hashbrown::HashMap;

use super::grow::{push, text};
use super::per_cpu::PerCpu;
use super::stages::Module;
use crate::growth::no_heap;
use crate::{Error, ModuleKinds, Name};

/// Tells the modules of a set apart.
pub(super) type Number = u64;

#[derive(Debug)]
pub(super) struct State<E: EngineRef<Set: ModuleKinds>, P: PerCpu> {
    pub(super) modules: HashMap<Number, Entry<E, P>>,
    pub(super) by_name: HashMap<Box<str>, Number>,
    /// Address and module of each exported symbol.
    pub(super) exports: HashMap<Box<str>, (u64, Number)>,
    pub(super) next: Number,
}

#[derive(Debug)]
pub(super) struct Entry<E: EngineRef<Set: ModuleKinds>, P: PerCpu> {
    pub(super) name: Box<str>,
    /// `None` until it is initialised.
    pub(super) module: Option<Module<E, P>>,
    /// How many modules refer to it.
    pub(super) users: u64,
    /// How often its code is held.
    pub(super) leases: u64,
    /// It goes when nothing holds its code any more.
    pub(super) is_leaving: bool,
    /// The modules that it refers to.
    pub(super) uses: Vec<Number>,
}

impl<E: EngineRef<Set: ModuleKinds>, P: PerCpu> State<E, P> {
    /// No modules.
    pub(super) fn new() -> Self {
        State { modules: HashMap::new(), by_name: HashMap::new(), exports: HashMap::new(), next: 0 }
    }

    /// Enters a module that is being loaded.
    pub(super) fn enter(&mut self, name: &str) -> Result<Number, Error> {
        if self.by_name.contains_key(name) {
            return Err(Error::Duplicate { module: Name::new(name) });
        }
        let number = self.next;
        let entry = Entry { name: text(name)?, module: None, users: 0, leases: 0, is_leaving: false, uses: Vec::new() };
        let by_name = text(name)?;
        self.modules.try_reserve(1).map_err(no_heap)?;
        self.by_name.try_reserve(1).map_err(no_heap)?;
        self.next += 1;
        self.modules.insert(number, entry);
        self.by_name.insert(by_name, number);
        Ok(number)
    }

    /// An exported symbol. The module that gets it is a user of its owner from now on.
    pub(super) fn import(&mut self, user: Number, symbol: &str) -> Result<Option<u64>, Error> {
        let Some(&(address, owner)) = self.exports.get(symbol) else { return Ok(None) };
        if self.modules.get(&owner).is_some_and(|entry| entry.is_leaving) {
            return Ok(None);
        }
        let Some(entry) = self.modules.get_mut(&user) else { return Ok(None) };
        if !entry.uses.contains(&owner) {
            push(&mut entry.uses, owner)?;
            if let Some(owner) = self.modules.get_mut(&owner) {
                owner.users += 1;
            }
        }
        Ok(Some(address))
    }

    /// Exports the symbols of a module, links it with those that it patches and that patch it, and keeps it; unless another
    /// module exports one of its symbols.
    pub(super) fn export(&mut self, number: Number, module: &mut Option<Module<E, P>>) -> Result<(), Error> {
        let Some(new) = module.as_mut() else { return Ok(()) };
        let twice = new.names().exports().find(|(symbol, _)| self.exports.contains_key(*symbol));
        if let Some((symbol, _)) = twice {
            return Err(Error::DuplicateSymbol { name: Name::new(symbol) });
        }
        let mut exports = Vec::new();
        for (symbol, address) in new.names().exports() {
            push(&mut exports, (text(symbol)?, (address, number)))?;
        }
        self.exports.try_reserve(exports.len()).map_err(no_heap)?;
        self.link(number, new)?;
        self.exports.extend(exports);
        if let Some(entry) = self.modules.get_mut(&number) {
            entry.module = module.take();
        }
        Ok(())
    }

    /// Links a new module with those that it patches, and those that patch it. What could not be put back when a module of
    /// its name went is put back first.
    fn link(&mut self, number: Number, new: &mut Module<E, P>) -> Result<(), Error> {
        let Some(name) = self.modules.get(&number).map(|entry| text(&entry.name)).transpose()? else { return Ok(()) };
        self.unlink(number)?;
        let linked = self.modules.values_mut().try_for_each(|entry| match &mut entry.module {
            Some(other) => {
                new.link_object(&entry.name, other.names())?;
                other.link_object(&name, new.names()).map(|_| ())
            }
            None => Ok(()),
        });
        linked.inspect_err(|_| {
            let _ = self.unlink(number);
        })
    }

    /// Unlinks a module from those that patch it. Where one cannot be, the others may be: the next call goes on.
    pub(super) fn unlink(&mut self, number: Number) -> Result<(), Error> {
        let Some(name) = self.modules.get_mut(&number).map(|entry| core::mem::take(&mut entry.name)) else {
            return Ok(());
        };
        let mut modules = self.modules.values_mut().filter_map(|entry| entry.module.as_mut());
        let outcome = modules.try_for_each(|module| module.unlink_object(&name));
        if let Some(entry) = self.modules.get_mut(&number) {
            entry.name = name;
        }
        outcome
    }

    /// Forgets a module and what it uses.
    pub(super) fn remove(&mut self, number: Number) -> Option<Module<E, P>> {
        let entry = self.modules.remove(&number)?;
        self.by_name.remove(&entry.name);
        if let Some(module) = &entry.module {
            module.names().exports().for_each(|(symbol, _)| {
                self.exports.remove(symbol);
            });
        }
        for used in &entry.uses {
            if let Some(used) = self.modules.get_mut(used) {
                used.users -= 1;
            }
        }
        entry.module
    }

    /// The entry of a module that is initialised.
    pub(super) fn loaded(&self, name: &str) -> Option<(Number, &Entry<E, P>)> {
        let number = *self.by_name.get(name)?;
        Some((number, self.modules.get(&number).filter(|entry| entry.module.is_some())?))
    }
}
