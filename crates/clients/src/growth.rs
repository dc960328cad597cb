//! Growth that can be refused: where there is no heap, a client says so and nothing has changed.

use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::Error;

/// What a client says where there is no heap for its bookkeeping.
pub(crate) const NO_HEAP: Error = Error::Engine(execmem::Error::OutOfMemory);

/// The same, in place of the refusal of a container.
pub(crate) fn no_heap<T>(_: T) -> Error {
    NO_HEAP
}

/// Makes room for `more` elements.
pub(crate) fn try_reserve<T>(list: &mut Vec<T>, more: usize) -> Result<(), Error> {
    list.try_reserve(more).map_err(no_heap)
}

/// One value on the heap. `Box::new` would abort where there is no memory.
pub(crate) fn try_box<T>(value: T) -> Result<Box<[T; 1]>, Error> {
    let mut one = Vec::new();
    one.try_reserve_exact(1).map_err(no_heap)?;
    one.push(value);
    one.into_boxed_slice().try_into().map_err(no_heap)
}

/// Appends bytes.
pub(crate) fn append(code: &mut Vec<u8>, bytes: &[u8]) -> Result<(), Error> {
    try_reserve(code, bytes.len())?;
    code.extend_from_slice(bytes);
    Ok(())
}

/// Appends zeroes up to a length.
pub(crate) fn fill_up(code: &mut Vec<u8>, len: usize) -> Result<(), Error> {
    try_reserve(code, len.saturating_sub(code.len()))?;
    code.resize(len.max(code.len()), 0);
    Ok(())
}
