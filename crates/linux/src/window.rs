//! The two views of one memory file. Every call here that changes the address space is bounded by the views.
#![expect(unsafe_code, reason = "changes mappings: a wrong range would pull memory from under somebody else")]

use std::ffi::c_void;
use std::os::fd::OwnedFd;

use execmem_types::{Extent, PageSize, Protection, SyncScope, Trap};
use rustix::fs::{FallocateFlags, MemfdFlags, SealFlags};
use rustix::io::Errno;
use rustix::mm::{MapFlags, MprotectFlags, ProtFlags};
use rustix::process::{Resource, getrlimit};

use crate::host::LARGE;
use crate::{SetupError, copy, icache};

/// `MADV_COLLAPSE` of linux/mman.h, since Linux 6.1. Not in rustix.
const MADV_COLLAPSE: libc::c_int = 25;

/// One memory file of a fixed size, mapped twice.
///
/// # Invariants
///
/// `home` and `alias` are two mappings of the whole file, `len` bytes each, made by this value and owned by it until it
/// is dropped. The alias is readable and writable throughout.
#[derive(Debug)]
pub(crate) struct Window {
    file: OwnedFd,
    home: View,
    alias: View,
}

/// A mapping of the whole file and the addresses reserved around it.
#[derive(Debug)]
struct View {
    /// What was reserved.
    reserved: usize,
    reserved_len: usize,
    /// The mapping, at a multiple of the large page size.
    start: usize,
    len: usize,
}

/// Which of the views.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Home,
    Alias,
}

impl Window {
    /// Creates the file and both views.
    pub(crate) fn new(bytes: u64) -> Result<Self, SetupError> {
        let limit = getrlimit(Resource::Fsize).current;
        if let Some(limit) = limit.filter(|limit| *limit < bytes) {
            return Err(SetupError::FileSizeLimit { limit, bytes });
        }
        let file = memory_file(bytes).map_err(|errno| SetupError::NoMemoryFile { errno: errno.raw_os_error() })?;
        let refused = |errno: Errno| SetupError::NoAddresses { bytes, errno: errno.raw_os_error() };
        let len = usize::try_from(bytes).map_err(|_| refused(Errno::OVERFLOW))?;
        let alias = View::new(&file, len, ProtFlags::READ | ProtFlags::WRITE).map_err(refused)?;
        let home = View::new(&file, len, ProtFlags::empty()).map_err(refused)?;
        let window = Window { file, home, alias };
        window.probe_execution()?;
        Ok(window)
    }

    /// Makes sure that memory of the file can be executable, once, before anybody relies on it.
    fn probe_execution(&self) -> Result<(), SetupError> {
        let page = rustix::param::page_size();
        let probed =
            self.protect(0, page, Protection::ReadExecute).and_then(|()| self.protect(0, page, Protection::NoAccess));
        probed.map_err(|errno| SetupError::NotExecutable { errno: errno.raw_os_error() })
    }

    /// Where the home view lies.
    pub(crate) fn extent(&self) -> Extent {
        let extent = Extent::new(self.home.start as u64, self.home.len as u64);
        extent.unwrap_or_else(|| unreachable!("the kernel maps no view at the end of the address space"))
    }

    /// Copies bytes in, through the alias.
    #[inline]
    pub(crate) fn write(&self, offset: usize, bytes: &[u8]) -> Result<(), Errno> {
        let to = self.alias.part(offset, bytes.len()).ok_or(Errno::RANGE)?;
        // SAFETY: the bytes lie in the alias view, which is mapped readable and writable as long as `self` lives
        // (invariant of `Window`), and no Rust reference points into it.
        unsafe { copy::write(to, bytes) };
        Ok(())
    }

    /// Fills bytes with a pattern in phase with the home address, through the alias.
    #[inline]
    pub(crate) fn fill(&self, offset: usize, len: usize, pattern: Trap) -> Result<(), Errno> {
        let to = self.alias.part(offset, len).ok_or(Errno::RANGE)?;
        let address = (self.home.start + offset) as u64;
        // SAFETY: as in `write`.
        unsafe { copy::fill(to, address, len, pattern) };
        Ok(())
    }

    /// Copies bytes out, through the alias.
    pub(crate) fn read(&self, offset: usize, bytes: &mut [u8]) -> Result<(), Errno> {
        let from = self.alias.part(offset, bytes.len()).ok_or(Errno::RANGE)?;
        // SAFETY: as in `write`.
        unsafe { copy::read(from, bytes) };
        Ok(())
    }

    /// Makes bytes written through the alias what processors execute at home. They must be readable there.
    #[inline]
    pub(crate) fn sync(&self, offset: usize, len: usize, scope: SyncScope) -> Result<(), Errno> {
        let alias = self.alias.part(offset, len).ok_or(Errno::RANGE)?;
        let home = self.home.start + offset;
        // SAFETY: both ranges lie in views of this window. The alias is readable; cache instructions on a home page
        // that is not are the caller's business on machines that fault on them, and the record was asked.
        unsafe { icache::sync(home, alias.addr(), len, scope) }
    }

    /// Changes the rights of part of the home view.
    pub(crate) fn protect(&self, offset: usize, len: usize, protection: Protection) -> Result<(), Errno> {
        let flags = match protection {
            Protection::NoAccess => MprotectFlags::empty(),
            Protection::ReadOnly => MprotectFlags::READ,
            Protection::ReadWrite => MprotectFlags::READ | MprotectFlags::WRITE,
            Protection::ReadExecute => MprotectFlags::READ | MprotectFlags::EXEC,
        };
        let start = self.home.part(offset, len).ok_or(Errno::RANGE)?;
        // SAFETY: the range lies in the home view, which this value owns, and no Rust reference points into that view,
        // so no reference loses rights it relies on (mprotect(2) changes nothing but the rights of the pages named).
        unsafe { rustix::mm::mprotect(start.cast::<c_void>(), len, flags) }
    }

    /// Asks for the memory behind part of a view to be one large page for each of its own, and to be mapped so.
    pub(crate) fn collapse(&self, side: Side, offset: usize, len: usize) -> Result<(), Errno> {
        let view = if side == Side::Home { &self.home } else { &self.alias };
        let start = view.part(offset, len).ok_or(Errno::RANGE)?;
        // SAFETY: the range lies in a view that this value owns, and MADV_COLLAPSE (madvise(2)) changes neither the
        // content nor the rights of memory, only how it is backed.
        let outcome = unsafe { libc::madvise(start.cast::<c_void>(), len, MADV_COLLAPSE) };
        if outcome == 0 { Ok(()) } else { Err(last_error()) }
    }

    /// Gives the memory behind part of the file back. It reads as zero afterwards.
    pub(crate) fn discard(&self, offset: usize, len: usize) -> Result<(), Errno> {
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        rustix::fs::fallocate(&self.file, flags, offset as u64, len as u64)
    }
}

fn last_error() -> Errno {
    let error = std::io::Error::last_os_error();
    Errno::from_io_error(&error).unwrap_or(Errno::IO)
}

/// A memory file of a size that nobody can change, not even this process.
fn memory_file(bytes: u64) -> Result<OwnedFd, Errno> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let create = |flags| rustix::fs::memfd_create("execmem", flags);
    // The file itself is never executed as a program, which is all this flag forbids. Kernels before 6.3 lack it.
    let file = create(flags | MemfdFlags::NOEXEC_SEAL).or_else(|_| create(flags))?;
    rustix::fs::ftruncate(&file, bytes)?;
    rustix::fs::fcntl_add_seals(&file, SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL)?;
    Ok(file)
}

impl View {
    /// Maps the whole file somewhere, at a multiple of the large page size.
    fn new(file: &OwnedFd, len: usize, protection: ProtFlags) -> Result<View, Errno> {
        let align = usize::try_from(LARGE.bytes()).unwrap_or(usize::MAX);
        let reserved_len = len.checked_add(align).ok_or(Errno::OVERFLOW)?;
        let flags = MapFlags::PRIVATE | MapFlags::NORESERVE;
        // SAFETY: without MAP_FIXED, and with a null hint, mmap(2) chooses addresses that nothing uses.
        let reserved =
            unsafe { rustix::mm::mmap_anonymous(std::ptr::null_mut(), reserved_len, ProtFlags::empty(), flags) }?;
        let start = reserved.map_addr(|address| address.next_multiple_of(align));
        let view = View { reserved: reserved.addr(), reserved_len, start: start.addr(), len };
        // SAFETY: MAP_FIXED replaces `len` bytes from `start`, which lie inside the `len + align` bytes from `reserved`
        // that were mapped just now and are known to nobody else.
        unsafe { rustix::mm::mmap(start, len, protection, MapFlags::SHARED | MapFlags::FIXED, file, 0) }?;
        Ok(view)
    }

    /// The address of an offset. `None` unless `len` bytes from it lie in the view.
    #[inline]
    fn part(&self, offset: usize, len: usize) -> Option<*mut u8> {
        let fits = offset <= self.len && len <= self.len - offset;
        fits.then(|| std::ptr::with_exposed_provenance_mut(self.start + offset))
    }
}

impl Drop for View {
    fn drop(&mut self) {
        let start = std::ptr::with_exposed_provenance_mut::<c_void>(self.reserved);
        // SAFETY: the range was mapped by `View::new`, is unmapped only here, and nothing points into it: accesses go
        // through the `Window` that owned this view. Code that still runs in it is the business of whoever called it.
        let unmapped = unsafe { rustix::mm::munmap(start, self.reserved_len) };
        debug_assert!(unmapped.is_ok(), "munmap of what was mapped: {unmapped:?}");
    }
}

/// The largest window: everything in it is within reach of everything else.
pub(crate) const WINDOW_MAX_BYTES: u64 = 2 << 30;

/// Refuses a size that is no window.
pub(crate) fn check_size(bytes: u64, page: PageSize) -> Result<(), SetupError> {
    let multiple = LARGE.max(page).bytes();
    if bytes == 0 || bytes > WINDOW_MAX_BYTES || !bytes.is_multiple_of(multiple) {
        return Err(SetupError::BadWindow { bytes, multiple, limit: WINDOW_MAX_BYTES });
    }
    Ok(())
}
