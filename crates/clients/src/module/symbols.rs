//! What each symbol of a module stands for.

use alloc::vec::Vec;

use super::entries::{Place, SymbolTable};
use super::grow::{collect, push};
use super::livepatch;
use super::object_file::ObjectFile;
use crate::{Error, Name};

/// Addresses of what a module does not define itself.
pub trait Symbols {
    /// The address of a symbol.
    fn address(&self, name: &str) -> Option<u64>;

    /// The address of the symbol that is number `number` of those with that name, local ones included, from 1; of 0, the
    /// only one. What patches of running code ask for. By default, there is one at most.
    fn numbered(&self, name: &str, number: u32) -> Option<u64> {
        self.address(name).filter(|_| number <= 1)
    }
}

impl<F: Fn(&str) -> Option<u64>> Symbols for F {
    fn address(&self, name: &str) -> Option<u64> {
        self(name)
    }
}

/// The values of the symbols of an object that is placed.
#[derive(Debug)]
pub(super) struct Values<'data> {
    table: SymbolTable<'data>,
    /// Addresses of sections; `None` where one is not loaded.
    sections: Vec<Option<u64>>,
    /// Indices and addresses of what the object does not define and is known, by index.
    undefined: Vec<(usize, u64)>,
}

impl<'data> Values<'data> {
    /// Looks up every symbol that the object does not define.
    pub(super) fn resolve(
        object: &ObjectFile<'data>,
        outside: &impl Symbols,
        address_of_section: impl Fn(usize) -> Option<u64>,
    ) -> Result<Self, Error> {
        let sections = collect((0..object.sections.len()).map(|section| Ok(address_of_section(section))))?;
        let mut undefined = Vec::new();
        for (index, symbol) in object.symbols.iter().skip(1) {
            let name = object.name_of(&symbol);
            let address = match symbol.place {
                Place::Undefined if !name.is_empty() => outside.address(name),
                Place::Patched if livepatch::symbol(name).is_some_and(|of| of.object == livepatch::KERNEL) => {
                    livepatch::symbol(name).and_then(|of| outside.numbered(of.name, of.number))
                }
                _ => continue,
            };
            let address = address.or((symbol.place == Place::Undefined && symbol.is_weak()).then_some(0));
            push(&mut undefined, (index, address.ok_or(Error::Unresolved { name: Name::new(name) })?))?;
        }
        Ok(Values { table: object.symbols, sections, undefined })
    }

    /// Looks up the symbols of another object that the object patches. `sections` is where its own sections lie.
    pub(super) fn of_patched(
        object: &ObjectFile<'data>,
        name: &str,
        symbols: &impl Symbols,
        sections: Vec<Option<u64>>,
    ) -> Result<Self, Error> {
        let mut undefined = Vec::new();
        for (index, symbol) in object.symbols.iter().filter(|(_, symbol)| symbol.place == Place::Patched) {
            let label = object.name_of(&symbol);
            let Some(of) = livepatch::symbol(label).filter(|of| livepatch::is_same(of.object, name)) else { continue };
            let address = symbols.numbered(of.name, of.number);
            push(&mut undefined, (index, address.ok_or(Error::Unresolved { name: Name::new(label) })?))?;
        }
        Ok(Values { table: object.symbols, sections, undefined })
    }

    /// The value of a symbol; `None` if there is no such symbol, or it lies in a section that is not loaded, which matters
    /// only to what refers to it.
    pub(super) fn get(&self, index: usize) -> Option<u64> {
        if index == 0 {
            return Some(0);
        }
        let symbol = self.table.get(index)?;
        let found = || {
            let place = self.undefined.binary_search_by_key(&index, |(index, _)| *index).ok()?;
            self.undefined.get(place).map(|(_, address)| *address)
        };
        match symbol.place {
            Place::Undefined => Some(found().unwrap_or(0)),
            Place::Patched => found(),
            Place::Absolute => Some(symbol.value),
            Place::Common | Place::Reserved => None,
            Place::Section(section) => Some(self.section(section)?.wrapping_add(symbol.value)),
        }
    }

    /// Where a section lies.
    pub(super) fn section(&self, index: usize) -> Option<u64> {
        self.sections.get(index).copied().flatten()
    }
}
