//! What most programs do: a mapping of its own for each function, written, made executable, unmapped.

use std::ptr::{NonNull, null_mut};

use anyhow::{Context as _, Result};
use execmem::Kind;
use rustix::mm::{MapFlags, MprotectFlags, ProtFlags, mmap_anonymous, mprotect, munmap};

use super::Peer;

/// Nothing: the address space is the process's.
#[derive(Debug)]
pub(crate) struct Mmap;

/// A mapping.
#[derive(Debug)]
pub(crate) struct Mapping {
    start: NonNull<u8>,
    len: usize,
}

// SAFETY: the mapping belongs to its holder; any thread may unmap it.
unsafe impl Send for Mapping {}

impl Peer for Mmap {
    type Code = Mapping;

    fn new(_: Kind) -> Result<Self> {
        Ok(Mmap)
    }

    fn install(&self, code: &[u8]) -> Result<Mapping> {
        let len = code.len();
        // SAFETY: without a hint, the kernel places a mapping where nothing is.
        let start = unsafe { mmap_anonymous(null_mut(), len, ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE) }?;
        let start = NonNull::new(start.cast::<u8>()).context("mmap")?;
        // SAFETY: the mapping is fresh, writable and at least as long as the code.
        unsafe { start.copy_from_nonoverlapping(NonNull::from(code).cast(), len) };
        // SAFETY: only this mapping changes, and no reference points into it.
        unsafe { mprotect(start.as_ptr().cast(), len, MprotectFlags::READ | MprotectFlags::EXEC) }?;
        Ok(Mapping { start, len })
    }

    fn entry(&self, mapping: &Mapping) -> usize {
        mapping.start.as_ptr().expose_provenance()
    }

    fn remove(&self, mapping: Mapping) -> Result<()> {
        // SAFETY: the mapping is ours and unmapped once, since it is taken by value; no processor executes it any more.
        unsafe { munmap(mapping.start.as_ptr().cast(), mapping.len) }?;
        Ok(())
    }
}
