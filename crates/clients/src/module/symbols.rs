//! What each symbol of a module stands for.

use alloc::vec::Vec;

use super::entries::{Place, SymbolTable};
use super::grow::{collect, push};
use super::object_file::ObjectFile;
use crate::{Error, Name};

/// Addresses of what a module does not define itself.
pub trait Symbols {
    /// The address of a symbol.
    fn address(&self, name: &str) -> Option<u64>;
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
    /// Indices and addresses of what the object does not define, by index.
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
        for (index, symbol) in object.symbols.iter().filter(|(_, symbol)| symbol.place == Place::Undefined) {
            let name = object.name_of(&symbol);
            if index == 0 || name.is_empty() {
                continue;
            }
            let address = match outside.address(name) {
                Some(address) => address,
                None if symbol.is_weak() => 0,
                None => return Err(Error::Unresolved { name: Name::new(name) }),
            };
            push(&mut undefined, (index, address))?;
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
        match symbol.place {
            Place::Undefined => {
                let found = self.undefined.binary_search_by_key(&index, |(index, _)| *index);
                Some(found.ok().and_then(|place| self.undefined.get(place)).map_or(0, |(_, address)| *address))
            }
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
