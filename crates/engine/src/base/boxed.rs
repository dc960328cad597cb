//! Boxes that can be refused.

use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::Error;

/// One value on the heap. `Box::new` would abort where there is no memory.
pub(crate) fn try_box<T>(value: T) -> Result<Box<[T; 1]>, Error> {
    let mut one = Vec::new();
    one.try_reserve_exact(1).map_err(|_| Error::OutOfMemory)?;
    one.push(value);
    one.into_boxed_slice().try_into().map_err(|_| Error::OutOfMemory)
}
