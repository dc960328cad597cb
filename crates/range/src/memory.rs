//! Fallible growth: every byte of bookkeeping is asked for here, and a refusal is an error, never an abort.

use alloc::{boxed::Box, vec::Vec};

use crate::Error;

/// Puts `value` on the heap.
pub(crate) fn try_box<T>(value: T) -> Result<Box<[T; 1]>, Error> {
    refuse()?;
    let mut one = Vec::new();
    one.try_reserve_exact(1).map_err(|_| Error::OutOfMemory)?;
    one.push(value);
    // A vector of length and capacity 1 turns into a box of one without a copy.
    one.into_boxed_slice().try_into().map_err(|_| Error::OutOfMemory)
}

/// Puts an array on the heap, and never on the stack: kernels have small ones.
pub(crate) fn try_array<T, const N: usize>(make: impl FnMut() -> T) -> Result<Box<[T; N]>, Error> {
    refuse()?;
    let mut all = Vec::new();
    all.try_reserve_exact(N).map_err(|_| Error::OutOfMemory)?;
    all.resize_with(N, make);
    all.into_boxed_slice().try_into().map_err(|_| Error::OutOfMemory)
}

/// Makes room for `more` elements.
pub(crate) fn try_reserve_exact<T>(vec: &mut Vec<T>, more: usize) -> Result<(), Error> {
    refuse()?;
    vec.try_reserve_exact(more).map_err(|_| Error::OutOfMemory)
}

/// Extends `vec` by a value until it has `len` elements, if it has fewer.
pub(crate) fn try_extend<T: Clone>(vec: &mut Vec<T>, len: usize, value: T) -> Result<(), Error> {
    let missing = len.saturating_sub(vec.len());
    try_reserve_exact(vec, missing)?;
    vec.extend(core::iter::repeat_n(value, missing));
    Ok(())
}

/// Where tests refuse memory. Does nothing otherwise.
#[cfg(not(test))]
#[expect(clippy::unnecessary_wraps, reason = "its twin for tests fails")]
const fn refuse() -> Result<(), Error> {
    Ok(())
}

#[cfg(test)]
use crate::tests::refusals::refuse;
