//! Stretches of addresses that belong to one window: how they are reserved, backed and given back.
#![expect(unsafe_code, reason = "changes mappings: a wrong range would pull memory from under somebody else")]

use std::ffi::c_void;
use std::os::fd::{FromRawFd as _, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use execmem_types::Protection;
use rustix::io::Errno;
use rustix::mm::{Advice, MapFlags, MprotectFlags, ProtFlags};

use crate::host::LARGE;

/// `MADV_COLLAPSE` of linux/mman.h, since Linux 6.1. Not in rustix.
const MADV_COLLAPSE: libc::c_int = 25;

/// `memfd_secret` (since Linux 5.14) has one number on every machine that has it.
const SYS_MEMFD_SECRET: libc::c_long = 447;

/// `PROT_BTI` of asm/mman.h and `HWCAP2_BTI` of asm/hwcap.h on arm64.
const PROT_BTI: u32 = 0x10;
const HWCAP2_BTI: usize = 1 << 17;

/// Nodes that a mask can name.
const NODES: usize = 1024;
const WORD_BITS: usize = libc::c_ulong::BITS as usize;

/// Addresses that were reserved here, and what is mapped there.
///
/// # Invariants
///
/// `len` bytes from `start` were mapped by this value and belong to it until it is dropped: there is a mapping at every
/// address of them at any time, and no Rust reference points into them. `start` is a multiple of 2 MiB.
#[derive(Debug)]
pub(crate) struct View {
    start: usize,
    len: usize,
    /// Whether forked processes go without it.
    is_private: bool,
    /// Whether what becomes executable is checked for landing pads.
    guards_branches: AtomicBool,
}

impl View {
    /// Reserves addresses that the system chooses.
    pub(crate) fn anywhere(len: usize) -> Result<View, Errno> {
        let align = usize::try_from(LARGE.bytes()).map_err(|_| Errno::OVERFLOW)?;
        let longer = len.checked_add(align).ok_or(Errno::OVERFLOW)?;
        // SAFETY: without MAP_FIXED, and with a null hint, mmap(2) chooses addresses that nothing uses.
        let found = unsafe { reserve(std::ptr::null_mut(), longer, MapFlags::empty()) }?.addr();
        let start = found.next_multiple_of(align);
        for (cut, len) in [(found, start - found), (start + len, found + longer - (start + len))] {
            if len > 0 {
                // SAFETY: the bytes lie in what was mapped just now and is known to nobody else; none of them belong
                // to the view.
                unsafe { rustix::mm::munmap(pointer(cut).cast::<c_void>(), len) }?;
            }
        }
        Ok(View::of(start, len))
    }

    /// Reserves these addresses, a multiple of 2 MiB, unless somebody has any of them.
    pub(crate) fn at(start: usize, len: usize) -> Result<View, Errno> {
        // SAFETY: MAP_FIXED_NOREPLACE never replaces a mapping; a kernel that does not know it (before 4.17) takes the
        // address for a hint.
        let found = unsafe { reserve(pointer(start).cast::<c_void>(), len, MapFlags::FIXED_NOREPLACE) }?.addr();
        if found != start {
            // Owned from here on, so that it is unmapped.
            drop(View::of(found, len));
            return Err(Errno::EXIST);
        }
        Ok(View::of(start, len))
    }

    const fn of(start: usize, len: usize) -> View {
        View { start, len, is_private: false, guards_branches: AtomicBool::new(false) }
    }

    /// First address.
    pub(crate) const fn start(&self) -> usize {
        self.start
    }

    /// Length in bytes.
    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    /// The address of an offset. `None` unless `len` bytes from it lie in the view.
    #[inline]
    pub(crate) fn part(&self, offset: usize, len: usize) -> Option<*mut u8> {
        let fits = offset <= self.len && len <= self.len - offset;
        fits.then(|| pointer(self.start + offset))
    }

    fn range(&self, offset: usize, len: usize) -> Result<*mut c_void, Errno> {
        Ok(self.part(offset, len).ok_or(Errno::RANGE)?.cast::<c_void>())
    }

    /// Maps the same part of a file over part of the view, in one step.
    pub(crate) fn back(
        &self,
        file: &OwnedFd,
        offset: usize,
        len: usize,
        protection: Option<Protection>,
    ) -> Result<(), Errno> {
        self.back_from(file, offset as u64, (offset, len), protection)
    }

    /// Maps a file from a position in it over part of the view.
    pub(crate) fn back_from(
        &self,
        file: &OwnedFd,
        position: u64,
        (offset, len): (usize, usize),
        protection: Option<Protection>,
    ) -> Result<(), Errno> {
        let flags = MapFlags::SHARED | MapFlags::FIXED | MapFlags::NORESERVE;
        let rights = ProtFlags::from_bits_retain(self.flags_of(protection.unwrap_or(Protection::NoAccess)).bits());
        // SAFETY: MAP_FIXED replaces `len` bytes that lie in the view, which this value owns; an access to them sees
        // the old mapping or the new.
        unsafe { rustix::mm::mmap(self.range(offset, len)?, len, rights, flags, file, position) }?;
        if self.is_private { self.leave_out(offset, len) } else { Ok(()) }
    }

    /// Makes part of the view what it was at first: reserved.
    pub(crate) fn reset(&self, offset: usize, len: usize) -> Result<(), Errno> {
        // SAFETY: MAP_FIXED replaces `len` bytes that lie in the view, which this value owns.
        unsafe { reserve(self.range(offset, len)?, len, MapFlags::FIXED) }?;
        Ok(())
    }

    /// Asks for the memory of part of the view to come from a NUMA node if it has some.
    pub(crate) fn prefer(&self, offset: usize, len: usize, node: u32) -> Result<(), Errno> {
        let node = usize::try_from(node).ok().filter(|node| *node < NODES).ok_or(Errno::INVAL)?;
        let mut mask: [libc::c_ulong; NODES / WORD_BITS] = [0; _];
        mask[node / WORD_BITS] = 1 << (node % WORD_BITS);
        let start = self.range(offset, len)?;
        // The kernel takes one bit less than it is told.
        let bits = NODES + 1;
        // SAFETY: mbind(2) reads that many bits from `mask`, and changes neither content nor rights of memory.
        let outcome =
            unsafe { libc::syscall(libc::SYS_mbind, start, len, libc::MPOL_PREFERRED, mask.as_ptr(), bits, 0) };
        if outcome == 0 { Ok(()) } else { Err(last_error()) }
    }

    /// Changes the rights of part of the view.
    pub(crate) fn protect(&self, offset: usize, len: usize, protection: Protection) -> Result<(), Errno> {
        // SAFETY: the range lies in the view, which this value owns, and no Rust reference points into it, so no
        // reference loses rights it relies on (mprotect(2) changes nothing but the rights of the pages named).
        unsafe { rustix::mm::mprotect(self.range(offset, len)?, len, self.flags_of(protection)) }
    }

    /// Asks for part of the view to be mapped in large pages, now (`MADV_COLLAPSE`).
    pub(crate) fn collapse(&self, offset: usize, len: usize) -> Result<(), Errno> {
        let start = self.range(offset, len)?;
        // SAFETY: the range lies in a view that this value owns, and MADV_COLLAPSE (madvise(2)) changes neither the
        // content nor the rights of memory, only how it is backed.
        let outcome = unsafe { libc::madvise(start, len, MADV_COLLAPSE) };
        if outcome == 0 { Ok(()) } else { Err(last_error()) }
    }

    /// Lets indirect branches into what becomes executable from now on end at landing pads only (BTI of arm64). False
    /// if the processor cannot check that.
    pub(crate) fn guard_branches(&self) -> bool {
        let can_guard = cfg!(target_arch = "aarch64") && rustix::param::linux_hwcap().1 & HWCAP2_BTI != 0;
        self.guards_branches.fetch_or(can_guard, Ordering::Relaxed);
        can_guard
    }

    fn flags_of(&self, protection: Protection) -> MprotectFlags {
        match protection {
            Protection::NoAccess => MprotectFlags::empty(),
            Protection::ReadOnly => MprotectFlags::READ,
            Protection::ReadWrite => MprotectFlags::READ | MprotectFlags::WRITE,
            Protection::ReadExecute if self.guards_branches.load(Ordering::Relaxed) => {
                MprotectFlags::READ | MprotectFlags::EXEC | MprotectFlags::from_bits_retain(PROT_BTI)
            }
            Protection::ReadExecute => MprotectFlags::READ | MprotectFlags::EXEC,
        }
    }

    /// Tells the kernel that large pages are welcome in part of the view (`MADV_HUGEPAGE`).
    pub(crate) fn advise_large(&self, offset: usize, len: usize) -> Result<(), Errno> {
        // SAFETY: as for `collapse`.
        unsafe { rustix::mm::madvise(self.range(offset, len)?, len, Advice::LinuxHugepage) }
    }

    /// Maps what is behind part of the view now, as if each page of it was read (`MADV_POPULATE_READ`).
    pub(crate) fn populate(&self, offset: usize, len: usize) -> Result<(), Errno> {
        // SAFETY: as for `collapse`.
        unsafe { rustix::mm::madvise(self.range(offset, len)?, len, Advice::LinuxPopulateRead) }
    }

    /// Gives private memory of part of the view back. It reads as zero afterwards.
    pub(crate) fn forget(&self, offset: usize, len: usize) -> Result<(), Errno> {
        // SAFETY: the range lies in the view, nothing refers to it, and losing its content is what the caller wants.
        unsafe { rustix::mm::madvise(self.range(offset, len)?, len, Advice::LinuxDontNeed) }
    }

    /// Keeps the view out of processes that are forked from this one.
    pub(crate) fn keep_from_children(&mut self) -> Result<(), Errno> {
        self.is_private = true;
        self.leave_out(0, self.len)
    }

    fn leave_out(&self, offset: usize, len: usize) -> Result<(), Errno> {
        // SAFETY: MADV_DONTFORK changes nothing in this process.
        unsafe { rustix::mm::madvise(self.range(offset, len)?, len, Advice::LinuxDontFork) }
    }
}

impl Drop for View {
    fn drop(&mut self) {
        // SAFETY: the range belongs to this value (invariant), is unmapped only here, and nothing points into it:
        // accesses go through the window that owned this view. Code that still runs in it is the business of whoever
        // called it.
        let unmapped = unsafe { rustix::mm::munmap(pointer(self.start).cast::<c_void>(), self.len) };
        debug_assert!(unmapped.is_ok(), "munmap of what was mapped: {unmapped:?}");
    }
}

/// A file of memory that the kernel has no mapping of, closed by `exec`.
pub(crate) fn secret_file(len: usize) -> Result<OwnedFd, Errno> {
    // SAFETY: memfd_secret(2) takes flags only.
    let number = unsafe { libc::syscall(SYS_MEMFD_SECRET, libc::O_CLOEXEC) };
    let number = libc::c_int::try_from(number).ok().filter(|number| *number >= 0).ok_or_else(last_error)?;
    // SAFETY: the descriptor was opened just now and nobody else has it.
    let file = unsafe { OwnedFd::from_raw_fd(number) };
    rustix::fs::ftruncate(&file, len as u64)?;
    Ok(file)
}

fn pointer(address: usize) -> *mut u8 {
    std::ptr::with_exposed_provenance_mut(address)
}

/// Maps addresses without access or memory.
///
/// # Safety
///
/// As for mmap(2) with `flags`: without `MAP_FIXED`, nothing.
unsafe fn reserve(hint: *mut c_void, len: usize, flags: MapFlags) -> Result<*mut c_void, Errno> {
    let flags = flags | MapFlags::PRIVATE | MapFlags::NORESERVE;
    // SAFETY: the caller's.
    unsafe { rustix::mm::mmap_anonymous(hint, len, ProtFlags::empty(), flags) }
}

fn last_error() -> Errno {
    Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)
}

/// A page that tells a process from those forked from it.
#[derive(Debug)]
pub(crate) struct Origin {
    page: View,
}

impl Origin {
    /// What the page begins with in the process that was marked; the rest of it is zero.
    pub(crate) const MARK: u8 = 1;

    /// Where the page is.
    pub(crate) const fn address(&self) -> u64 {
        self.page.start as u64
    }

    /// Marks this process.
    pub(crate) fn mark() -> Result<Self, Errno> {
        let page = View::anywhere(rustix::param::page_size())?;
        page.protect(0, page.len, Protection::ReadWrite)?;
        // SAFETY: MADV_WIPEONFORK (since Linux 4.14) changes nothing in this process; in a child the page reads zero.
        unsafe { rustix::mm::madvise(page.range(0, page.len)?, page.len, Advice::LinuxWipeOnFork) }?;
        let origin = Origin { page };
        origin.cell().store(Self::MARK, Ordering::Relaxed);
        Ok(origin)
    }

    fn cell(&self) -> &AtomicU8 {
        // SAFETY: the page is mapped readable and writable as long as `self` lives, is accessed by this cell only, and
        // an atomic of a byte needs no alignment.
        unsafe { AtomicU8::from_ptr(pointer(self.page.start)) }
    }

    /// Whether this is the process that [`mark`](Self::mark) was called in, and not a child of it.
    #[inline]
    pub(crate) fn is_here(&self) -> bool {
        self.cell().load(Ordering::Relaxed) == Self::MARK
    }
}
