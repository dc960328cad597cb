//! What each symbol of a module stands for.

use alloc::vec::Vec;

use super::object_file::{ObjectFile, Place};
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

/// The value of every symbol; `None` where it lies in a section that is not loaded, which matters only to whoever
/// refers to it.
pub(super) fn resolve(
    object: &ObjectFile<'_>,
    outside: &impl Symbols,
    address_of_section: impl Fn(usize) -> Option<u64>,
) -> Result<Vec<Option<u64>>, Error> {
    let values = object.symbols.iter().enumerate().map(|(index, symbol)| match symbol.place {
        Place::Undefined if index == 0 || symbol.name.is_empty() => Ok(Some(0)),
        Place::Undefined => match outside.address(symbol.name) {
            Some(address) => Ok(Some(address)),
            None if symbol.is_weak => Ok(Some(0)),
            None => Err(Error::Unresolved { name: Name::new(symbol.name) }),
        },
        Place::Absolute => Ok(Some(symbol.value)),
        Place::Common => Err(Error::Common { name: Name::new(symbol.name) }),
        Place::Section(section) => Ok(address_of_section(section).map(|address| address.wrapping_add(symbol.value))),
    });
    values.collect()
}
