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

/// Puts an array of equal values on the heap, and never on the stack: kernels have small ones.
pub(crate) fn try_array<T: Copy, const N: usize>(value: T) -> Result<Box<[T; N]>, Error> {
    refuse()?;
    let mut all = Vec::new();
    all.try_reserve_exact(N).map_err(|_| Error::OutOfMemory)?;
    all.resize(N, value);
    all.into_boxed_slice().try_into().map_err(|_| Error::OutOfMemory)
}

/// Makes room for `more` elements.
pub(crate) fn try_reserve<T>(vec: &mut Vec<T>, more: usize) -> Result<(), Error> {
    if vec.capacity() - vec.len() < more {
        refuse()?;
    }
    vec.try_reserve(more).map_err(|_| Error::OutOfMemory)
}

/// Extends `vec` with default values until it has at least `len` elements.
pub(crate) fn try_extend<T: Default>(vec: &mut Vec<T>, len: usize) -> Result<(), Error> {
    if vec.len() < len {
        try_reserve(vec, len - vec.len())?;
        vec.resize_with(len, T::default);
    }
    Ok(())
}

/// Where tests refuse memory. Does nothing otherwise.
#[cfg(not(test))]
#[expect(clippy::unnecessary_wraps, reason = "its twin for tests fails")]
const fn refuse() -> Result<(), Error> {
    Ok(())
}

#[cfg(test)]
use fault::refuse;

/// Refusals on request, one countdown per thread.
#[cfg(test)]
pub(crate) mod fault {
    extern crate std;

    use core::cell::Cell;

    use crate::Error;

    std::thread_local! {
        static GRANTED: Cell<Option<usize>> = const { Cell::new(None) };
    }

    /// Grants the next `requests` and refuses all after them, until [`stop`].
    pub(crate) fn refuse_after(requests: usize) {
        GRANTED.set(Some(requests));
    }

    /// Grants everything again.
    pub(crate) fn stop() {
        GRANTED.set(None);
    }

    pub(super) fn refuse() -> Result<(), Error> {
        match GRANTED.get() {
            Some(0) => Err(Error::OutOfMemory),
            Some(left) => {
                GRANTED.set(Some(left - 1));
                Ok(())
            }
            None => Ok(()),
        }
    }
}
