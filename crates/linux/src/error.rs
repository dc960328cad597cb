//! Why executable memory could not be set up.

use thiserror::Error;

/// Why [`Linux::reserve`](crate::Linux::reserve) failed. Nothing is left mapped or open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SetupError {
    /// The window is empty, not whole large pages, or larger than any table can use.
    #[error("a window of {bytes:#x} bytes is not a multiple of {multiple:#x} up to {limit:#x}")]
    BadWindow {
        /// Bytes asked for.
        bytes: u64,
        /// What it must be a multiple of.
        multiple: u64,
        /// The most it may be.
        limit: u64,
    },
    /// Prepared code does not fit in the window.
    #[error("{bytes:#x} bytes of code cannot be prepared in a window of {window:#x}: ask for a larger window")]
    TooMuchPrepared {
        /// Bytes to prepare.
        bytes: u64,
        /// Bytes of the window.
        window: u64,
    },
    /// Code whose rights flip cannot be prepared: publishing it takes a system call.
    #[error("code whose rights flip cannot be prepared: the system forbids every other way, or it was not asked for")]
    NotPreparable,
    /// The process may not create files of 2 MiB; creating one anyway would kill the process.
    #[error("RLIMIT_FSIZE of {limit:#x} bytes is less than a block of {bytes:#x}: raise it")]
    FileSizeLimit {
        /// The limit.
        limit: u64,
        /// Bytes of a block.
        bytes: u64,
    },
    /// The process has as many open files as it may have, and a memory file needs one for a moment.
    #[error("the process has as many open files as it may have: close one, or raise RLIMIT_NOFILE")]
    NoDescriptor,
    /// No memory file can be created (a seccomp filter, or a kernel without `memfd_create`).
    #[error("no memory file can be created: error number {errno}")]
    NoMemoryFile {
        /// What the system said.
        errno: i32,
    },
    /// The executable view of memory files could become writable here (before Linux 5.1, without `/proc`).
    #[error("the executable view of memory could become writable: error number {errno}")]
    NotGuarded {
        /// What the system said when the view was to be guarded, or 0 if it said nothing.
        errno: i32,
    },
    /// The addresses cannot be reserved (`RLIMIT_AS`, `RLIMIT_MEMLOCK` after `mlockall`, or no hole that large).
    #[error("{bytes:#x} bytes of addresses cannot be reserved: error number {errno}")]
    NoAddresses {
        /// Bytes asked for.
        bytes: u64,
        /// What the system said.
        errno: i32,
    },
    /// No free addresses from which a direct call reaches all of the anchor.
    #[error("no room for a window of {bytes:#x} bytes within reach of {anchor}")]
    NoRoomNear {
        /// What the window was to be near to.
        anchor: execmem_types::Extent,
        /// Bytes asked for.
        bytes: u64,
    },
    /// The system does not allow memory of this process to become executable (SELinux, PaX, a seccomp filter).
    #[error("memory may not be executable here: error number {errno}")]
    NotExecutable {
        /// What the system said.
        errno: i32,
    },
    /// There is no memory that the kernel has no mapping of (before Linux 5.14, `secretmem.enable=0`, a seccomp filter,
    /// or `RLIMIT_MEMLOCK`).
    #[error("no memory can be hidden from the kernel: error number {errno}")]
    NoSecretMemory {
        /// What the system said.
        errno: i32,
    },
    /// The kernel does not write to memory that the process may not write to (`proc_mem.force_override` since Linux
    /// 6.12, no `/proc`, a seccomp filter, an emulator of processes).
    #[error("the kernel does not write through /proc/self/mem: error number {errno}")]
    NoProcMem {
        /// What the system said.
        errno: i32,
    },
    /// The engine that the process shares could not be made.
    #[cfg(feature = "shared")]
    #[error("{0}")]
    Engine(#[from] execmem::Error),
    /// Memory could not be made when it was set up.
    #[error("{0}")]
    Backend(#[from] execmem_types::BackendError),
    /// The table for this machine breaks a rule: a defect of this crate, or a machine it does not know.
    #[error("{0}")]
    Table(#[from] execmem_types::TableError),
}
