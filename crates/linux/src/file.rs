//! Memory files: made, mapped and closed at once, so that no descriptor is left that another owner of descriptors, a
//! child or another process could find.
#![expect(unsafe_code, reason = "makes a descriptor by number")]

use std::ffi::CStr;
use std::io::Write as _;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};

use rustix::fs::{FallocateFlags, MemfdFlags, Mode, OFlags, SealFlags};
use rustix::io::Errno;

use crate::limits;
use crate::view::last_error;

/// `memfd_secret` (since Linux 5.14) has one number on every machine that has it.
const SYS_MEMFD_SECRET: libc::c_long = 447;

/// How the executable view of a memory file is kept from ever becoming writable, in this process and in its children.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Guard {
    /// The file is sealed against further writable mappings (`F_SEAL_FUTURE_WRITE`, since Linux 5.1). Memory goes back
    /// when all of a file does.
    Sealed,
    /// The file is opened once more for reading, through `/proc`.
    Reopened,
}

impl Guard {
    /// Best first.
    pub(crate) const ALL: [Guard; 2] = [Guard::Sealed, Guard::Reopened];
}

/// A file whose writable view is mapped, and the descriptor of the same file for the other view.
#[derive(Debug)]
pub(crate) struct Guarded<'f> {
    file: &'f OwnedFd,
    reader: Option<OwnedFd>,
}

impl<'f> Guarded<'f> {
    /// Guards a file whose writable view is mapped already: no other can be writable, or not by this descriptor.
    pub(crate) fn new(file: &'f OwnedFd, guard: Guard) -> Result<Self, Errno> {
        let size = SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL;
        match guard {
            Guard::Sealed => {
                rustix::fs::fcntl_add_seals(file, size | SealFlags::FUTURE_WRITE)?;
                Ok(Guarded { file, reader: None })
            }
            Guard::Reopened => {
                rustix::fs::fcntl_add_seals(file, size)?;
                let mut path = [0; 32];
                let mut to = &mut path[..31];
                write!(to, "/proc/self/fd/{}", file.as_raw_fd()).map_err(|_| Errno::NAMETOOLONG)?;
                let path = CStr::from_bytes_until_nul(&path).map_err(|_| Errno::NAMETOOLONG)?;
                let reader = rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
                Ok(Guarded { file, reader: Some(reader) })
            }
        }
    }

    /// Secret memory has no seals and cannot be opened again. Its views never become executable.
    pub(crate) const fn unguarded(file: &'f OwnedFd) -> Self {
        Guarded { file, reader: None }
    }

    /// What the other view is mapped from.
    pub(crate) fn reader(&self) -> BorrowedFd<'_> {
        self.reader.as_ref().unwrap_or(self.file).as_fd()
    }
}

/// A memory file of a size that will not change, of ordinary pages or of large ones of the reserved pool, which it then
/// has already.
pub(crate) fn memory_file(bytes: usize, is_of_pool: bool) -> Result<OwnedFd, Errno> {
    let bytes = bytes as u64;
    if limits::file_bytes().is_some_and(|limit| limit < bytes) {
        // Going on would kill the process (SIGXFSZ).
        return Err(Errno::FBIG);
    }
    let pool = if is_of_pool { MemfdFlags::HUGETLB | MemfdFlags::HUGE_2MB } else { MemfdFlags::empty() };
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING | pool;
    // Without a name, which would be that of the writable view too.
    let create = |flags| rustix::fs::memfd_create(c"", flags);
    // The file itself is never executed as a program, which is all this flag forbids; `vm.memfd_noexec` may insist on
    // it. Kernels before 6.3 lack it.
    let file = create(flags | MemfdFlags::NOEXEC_SEAL).or_else(|errno| match errno {
        Errno::INVAL => create(flags),
        other => Err(other),
    })?;
    rustix::fs::ftruncate(&file, bytes)?;
    if is_of_pool {
        rustix::fs::fallocate(&file, FallocateFlags::KEEP_SIZE, 0, bytes)?;
    }
    Ok(file)
}

/// A file of memory that the kernel has no mapping of.
pub(crate) fn secret_file(bytes: usize) -> Result<OwnedFd, Errno> {
    // SAFETY: memfd_secret(2) takes flags only.
    let number = unsafe { libc::syscall(SYS_MEMFD_SECRET, libc::O_CLOEXEC) };
    let number = libc::c_int::try_from(number).ok().filter(|number| *number >= 0).ok_or_else(last_error)?;
    // SAFETY: the descriptor was opened just now and no other code has it.
    let file = unsafe { OwnedFd::from_raw_fd(number) };
    rustix::fs::ftruncate(&file, bytes as u64)?;
    Ok(file)
}
