//! Refusals of memory on request, one countdown per thread.

extern crate std;

use core::cell::Cell;

use crate::Error;

std::thread_local! {
    static GRANTED: Cell<Option<usize>> = const { Cell::new(None) };
}

/// Grants the next `requests` and refuses all after them, until [`stop`].
pub(super) fn refuse_after(requests: usize) {
    GRANTED.set(Some(requests));
}

/// Grants everything again.
pub(super) fn stop() {
    GRANTED.set(None);
}

/// Whether memory is refused now.
pub(crate) fn refuse() -> Result<(), Error> {
    match GRANTED.get() {
        Some(0) => Err(Error::OutOfMemory),
        Some(left) => {
            GRANTED.set(Some(left - 1));
            Ok(())
        }
        None => Ok(()),
    }
}
