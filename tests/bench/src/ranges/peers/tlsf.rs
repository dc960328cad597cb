//! The crate rlsf: two-level segregated fit. It keeps its records inside what it manages, so it gets real memory; for
//! executable memory that would not do.

use std::alloc::Layout;
use std::ffi::c_void;
use std::ptr::{NonNull, null_mut};

use anyhow::{Context as _, Result};
use rlsf::Tlsf as Fit;
use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous, munmap};

use crate::ranges::replay::Ranges;
use crate::ranges::{GRANULE, GRANULE_BYTES};

pub(crate) struct Tlsf {
    fit: Fit<'static, u32, u32, 32, 16>,
    /// Where positions count from: aligned to anything asked for.
    base: NonNull<u8>,
    mapped: *mut c_void,
    mapped_len: usize,
}

const LARGEST_ALIGNMENT: usize = 2 << 20;

impl Ranges for Tlsf {
    type Token = (NonNull<u8>, usize);
    const IN_BAND: bool = true;

    fn new(capacity: u64, _: usize) -> Result<Self> {
        let len = usize::try_from(capacity * GRANULE_BYTES)?;
        let mapped_len = len + LARGEST_ALIGNMENT;
        let (rights, flags) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE | MapFlags::NORESERVE);
        // SAFETY: without a hint, the kernel places a mapping where nothing is.
        let mapped = unsafe { mmap_anonymous(null_mut(), mapped_len, rights, flags) }?;
        let base = mapped.cast::<u8>().map_addr(|address| address.next_multiple_of(LARGEST_ALIGNMENT));
        let mut tlsf = Tlsf { fit: Fit::new(), base: NonNull::new(base).context("mmap")?, mapped, mapped_len };
        // SAFETY: the memory is fresh, and stays until this value is dropped with the allocator in it.
        unsafe { tlsf.fit.insert_free_block_ptr(NonNull::slice_from_raw_parts(tlsf.base, len)) }.context("a pool")?;
        Ok(tlsf)
    }

    fn alloc(&mut self, granules: u32, align: u32) -> Option<Self::Token> {
        let layout = Layout::from_size_align(granules as usize * GRANULE, align as usize * GRANULE).ok()?;
        Some((self.fit.allocate(layout)?, layout.align()))
    }

    fn free(&mut self, (at, align): Self::Token) {
        // SAFETY: it was allocated by this allocator with this alignment and is freed once.
        unsafe { self.fit.deallocate(at, align) };
    }

    fn position(&self, (at, _): Self::Token, _: u32) -> u64 {
        ((at.addr().get() - self.base.addr().get()) / GRANULE) as u64
    }
}

impl Drop for Tlsf {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours; the allocator in it goes too.
        let _ = unsafe { munmap(self.mapped, self.mapped_len) };
    }
}
