//! Lists and texts of the loader that grow, or say that there is no memory.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use crate::Error;
use crate::growth::{no_heap, try_reserve};

/// Appends a value.
pub(super) fn push<T>(list: &mut Vec<T>, value: T) -> Result<(), Error> {
    try_reserve(list, 1)?;
    list.push(value);
    Ok(())
}

/// What an iterator yields, up to its first error.
pub(super) fn collect<T>(items: impl IntoIterator<Item = Result<T, Error>>) -> Result<Vec<T>, Error> {
    let items = items.into_iter();
    let mut list = Vec::new();
    try_reserve(&mut list, items.size_hint().0)?;
    for item in items {
        push(&mut list, item?)?;
    }
    Ok(list)
}

/// The same value, so many times.
pub(super) fn repeated<T: Copy>(value: T, count: usize) -> Result<Vec<T>, Error> {
    let mut list = Vec::new();
    list.try_reserve_exact(count).map_err(no_heap)?;
    list.resize(count, value);
    Ok(list)
}

/// A copy of bytes.
pub(super) fn copied(bytes: &[u8]) -> Result<Vec<u8>, Error> {
    let mut list = Vec::new();
    list.try_reserve_exact(bytes.len()).map_err(no_heap)?;
    list.extend_from_slice(bytes);
    Ok(list)
}

/// A copy of a text.
pub(super) fn text(text: &str) -> Result<Box<str>, Error> {
    let mut copy = String::new();
    copy.try_reserve_exact(text.len()).map_err(no_heap)?;
    copy.push_str(text);
    // It fills what was reserved, so nothing is allocated here.
    Ok(copy.into_boxed_str())
}
