//! A memory file mapped twice in 2 MiB pages where the system has them: executable, and writable.

use std::ffi::c_void;
use std::ptr::null_mut;

use anyhow::Result;
use rustix::fd::{AsFd as _, BorrowedFd};
use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
use rustix::mm::{MapFlags, ProtFlags, mmap, mmap_anonymous, munmap};

use super::PACK_BYTES;

const MADV_COLLAPSE: libc::c_int = 25;
const TRAP: u8 = 0xcc;

/// Both views. No reference ever points into them.
#[derive(Debug)]
pub(super) struct Views {
    executable: View,
    writable: View,
    len: usize,
}

/// A mapping at an aligned address, with the addresses that were reserved to get it.
#[derive(Debug)]
struct View {
    reserved: *mut c_void,
    reserved_len: usize,
    start: *mut u8,
}

// SAFETY: the views belong to this value; what is written to them is arranged by the lock around all packs.
unsafe impl Send for Views {}

impl Views {
    /// A file of `len` bytes, a multiple of [`PACK_BYTES`], all traps.
    pub(super) fn new(len: usize) -> Result<Self> {
        let file = memfd_create("pack", MemfdFlags::CLOEXEC)?;
        ftruncate(&file, len as u64)?;
        let views = Views {
            writable: View::new(file.as_fd(), len, ProtFlags::READ | ProtFlags::WRITE)?,
            executable: View::new(file.as_fd(), len, ProtFlags::READ | ProtFlags::EXEC)?,
            len,
        };
        // Collapsing needs a page to start from.
        views.trap(0, 1);
        views.writable.collapse(len);
        views.trap(0, len);
        views.executable.collapse(len);
        Ok(views)
    }

    /// Address of the first byte in the view that is executed.
    pub(super) fn entry(&self) -> usize {
        self.executable.start.expose_provenance()
    }

    pub(super) fn contains(&self, address: usize) -> bool {
        (self.entry()..self.entry() + self.len).contains(&address)
    }

    pub(super) fn write(&self, offset: usize, code: &[u8]) {
        assert!(offset <= self.len && code.len() <= self.len - offset);
        // SAFETY: checked to lie in the view, which is writable.
        let to = unsafe { self.writable.start.add(offset) };
        // SAFETY: likewise; the code lies outside, since no reference points into the view.
        unsafe { to.copy_from_nonoverlapping(code.as_ptr(), code.len()) };
    }

    pub(super) fn trap(&self, offset: usize, len: usize) {
        assert!(offset <= self.len && len <= self.len - offset);
        // SAFETY: checked to lie in the view, which is writable.
        let to = unsafe { self.writable.start.add(offset) };
        // SAFETY: likewise.
        unsafe { to.write_bytes(TRAP, len) };
    }
}

impl View {
    fn new(file: BorrowedFd<'_>, len: usize, rights: ProtFlags) -> Result<Self> {
        let reserved_len = len + PACK_BYTES;
        // SAFETY: without a hint, the kernel places a mapping where nothing is.
        let reserved = unsafe { mmap_anonymous(null_mut(), reserved_len, ProtFlags::empty(), MapFlags::PRIVATE) }?;
        let mut view = View { reserved, reserved_len, start: null_mut() };
        let aligned = reserved.map_addr(|address| address.next_multiple_of(PACK_BYTES));
        // SAFETY: it replaces a part of what was just reserved.
        let start = unsafe { mmap(aligned, len, rights, MapFlags::SHARED | MapFlags::FIXED, file, 0) }?;
        view.start = start.cast();
        Ok(view)
    }

    /// Large pages where they can be had.
    fn collapse(&self, len: usize) {
        // SAFETY: the mapping is ours, and MADV_COLLAPSE changes neither content nor rights.
        let _ = unsafe { libc::madvise(self.start.cast(), len, MADV_COLLAPSE) };
    }
}

impl Drop for View {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, and no processor executes what was in it any more.
        let _ = unsafe { munmap(self.reserved, self.reserved_len) };
    }
}
