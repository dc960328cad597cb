//! What a caller can do wrong, what can run out, and what memory can refuse.

use execmem_types::{BackendError, Extent, Kind};
use thiserror::Error;

/// Why the engine refused. Everything is as it was before the call. (I9)
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Error {
    /// An allocation of no bytes.
    #[error("{kind}: 0 bytes were requested")]
    ZeroSize {
        /// The kind asked for.
        kind: Kind,
    },
    /// More than any window of the kind holds.
    #[error("{kind}: {len:#x} bytes are more than its largest window, {limit:#x}")]
    TooLarge {
        /// The kind asked for.
        kind: Kind,
        /// Bytes asked for.
        len: u64,
        /// Length of the largest window.
        limit: u64,
    },
    /// An alignment that no page of the kind has.
    #[error("{kind}: addresses can be aligned to {limit:#x} at most, not {align:#x}")]
    BadAlignment {
        /// The kind asked for.
        kind: Kind,
        /// Alignment asked for, in bytes.
        align: u64,
        /// The largest possible.
        limit: u64,
    },
    /// No window of the kind has room.
    #[error("{kind}: no room for {len:#x} bytes in any of {windows} windows; the largest free range has {largest:#x}")]
    Exhausted {
        /// The kind asked for.
        kind: Kind,
        /// Bytes asked for.
        len: u64,
        /// Windows that were tried.
        windows: usize,
        /// The largest free range in mapped blocks.
        largest: u64,
    },
    /// Memory for bookkeeping could not be had.
    #[error("out of memory for bookkeeping")]
    OutOfMemory,
    /// The backend refused.
    #[error("{kind}: {source}")]
    Backend {
        /// The kind concerned.
        kind: Kind,
        /// What the backend said.
        source: BackendError,
    },
    /// An access beyond the bytes of an allocation.
    #[error("{len:#x} bytes at offset {offset:#x} are outside an allocation of {granted:#x} bytes")]
    OutOfBounds {
        /// Where the access starts.
        offset: u64,
        /// How many bytes it wants.
        len: u64,
        /// Bytes of the allocation.
        granted: u64,
    },
    /// The operation makes no sense for the kind.
    #[error("{kind} memory cannot be {operation}")]
    WrongKind {
        /// The kind of the memory.
        kind: Kind,
        /// What was wanted.
        operation: Operation,
    },
    /// The handle belongs to another engine.
    #[error("the memory at {address:#x} belongs to another engine")]
    ForeignHandle {
        /// Where it points.
        address: u64,
    },
    /// The length does not cut the allocation in two.
    #[error("a cut after {len:#x} bytes does not divide {extent}")]
    BadCut {
        /// Where the cut was wanted.
        len: u64,
        /// The allocation.
        extent: Extent,
    },
    /// The donated extent overlaps a window or an earlier donation, or is not made of whole quanta.
    #[error("{extent} cannot be donated: it overlaps managed memory or is not made of whole quanta")]
    BadDonation {
        /// The extent.
        extent: Extent,
    },
}

/// An operation that not every kind has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// Writing after publication.
    Write,
    /// Changing published code.
    Patch,
    /// Making read-only after initialisation.
    Seal,
    /// Treating it as another kind.
    Retype,
}

impl core::fmt::Display for Operation {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Operation::Write => "written once it is published",
            Operation::Patch => "patched",
            Operation::Seal => "sealed",
            Operation::Retype => "used as that kind",
        })
    }
}

/// An operation that failed, and the handle it was called with.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{error}")]
pub struct Failed<H: core::fmt::Debug> {
    /// The handle, as good as before.
    pub handle: H,
    /// Why.
    #[source]
    pub error: Error,
}
