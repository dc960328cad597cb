//! Code in memory that Wasmtime mapped itself: its rights change as Wasmtime would change them.
#![expect(unsafe_code, reason = "changes rights of memory of another owner")]

use std::collections::BTreeMap;
use std::ffi::c_void;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::mm::{MprotectFlags, mprotect};
use wasmtime_internal_jit_icache_coherence as caches;

use crate::Error;

/// Code of a configuration's engines that lies outside the memory: it has mappings of its own, and its pages were
/// writable before they became executable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Outside {
    /// Images.
    pub images: u64,
    /// Bytes of code in them.
    pub bytes: u64,
}

/// Such code: the length of each image by its address.
#[derive(Debug, Default)]
pub(crate) struct Foreign(Mutex<BTreeMap<usize, usize>>);

impl Foreign {
    fn images(&self) -> MutexGuard<'_, BTreeMap<usize, usize>> {
        // A panic while it was held left a map that is whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn count(&self) -> Outside {
        let images = self.images();
        Outside { images: images.len() as u64, bytes: images.values().map(|len| *len as u64).sum() }
    }

    /// Makes code executable, which Wasmtime made readable before.
    pub(crate) fn publish(&self, start: *const u8, len: usize) -> Result<(), Error> {
        let refused = |source: std::io::Error| Error::Rights { address: start.addr(), source };
        protect(start, len, MprotectFlags::READ | MprotectFlags::EXEC).map_err(refused)?;
        // SAFETY: the bytes are mapped, as Wasmtime calls this with the code of an image that it has just mapped.
        unsafe { caches::clear_cache(start.cast::<c_void>(), len) }.map_err(refused)?;
        caches::pipeline_flush_mt().map_err(refused)?;
        self.images().insert(start.addr(), len);
        Ok(())
    }

    /// Takes the right to execute away, if it was given. Wasmtime writes to the code next, or unmaps it; where the system has
    /// no memory that could be written to, it can only be read.
    pub(crate) fn unpublish(&self, start: *const u8, len: usize) {
        if self.images().remove(&start.addr()).is_none() {
            return;
        }
        if protect(start, len, MprotectFlags::READ | MprotectFlags::WRITE).is_err() {
            let _ = protect(start, len, MprotectFlags::READ);
        }
    }
}

fn protect(start: *const u8, len: usize, rights: MprotectFlags) -> std::io::Result<()> {
    // SAFETY: Wasmtime alone has what calls this (`memory.rs`), and calls it with the code of an image that it mapped and
    // owns: whole pages, which no other code writes to or, before they are published, executes.
    Ok(unsafe { mprotect(start.cast_mut().cast::<c_void>(), len, rights) }?)
}
