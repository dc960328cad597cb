//! What a caller can do wrong, what can run out, and what memory can refuse.

use execmem_types::{BackendError, Extent, KindName};
use thiserror::Error;

/// Why the engine refused. Everything is as it was before the call. (I9)
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Error {
    /// An allocation of no bytes.
    #[error("{kind}: 0 bytes were requested")]
    ZeroSize {
        /// The kind asked for.
        kind: KindName,
    },
    /// More than any window of the kind holds.
    #[error("{kind}: {len:#x} bytes are more than its largest window, {limit:#x}")]
    TooLarge {
        /// The kind asked for.
        kind: KindName,
        /// Bytes asked for.
        len: u64,
        /// Length of the largest window.
        limit: u64,
    },
    /// An alignment that no page of the kind has.
    #[error("{kind}: addresses can be aligned to {limit:#x} at most, not {align:#x}")]
    BadAlignment {
        /// The kind asked for.
        kind: KindName,
        /// Alignment asked for, in bytes.
        align: u64,
        /// The largest possible.
        limit: u64,
    },
    /// No window of the kind has room.
    #[error(
        "{kind}: none of {windows} windows has addresses for {len:#x} bytes; the longest hole in mapped blocks has {largest:#x}"
    )]
    Exhausted {
        /// The kind asked for.
        kind: KindName,
        /// Bytes asked for.
        len: u64,
        /// Windows that were tried.
        windows: usize,
        /// The longest free range in mapped blocks.
        largest: u64,
    },
    /// The request may not map memory, and what is mapped has no room.
    #[error("{kind}: no mapped block has room for {len:#x} bytes: call `reserve` before, where memory may be mapped")]
    NeedsGrowth {
        /// The kind asked for.
        kind: KindName,
        /// Bytes asked for.
        len: u64,
    },
    /// Memory for bookkeeping could not be had.
    #[error("out of memory for bookkeeping")]
    OutOfMemory,
    /// The backend refused.
    #[error("{kind}: {source}")]
    Backend {
        /// The kind concerned.
        kind: KindName,
        /// What the backend said.
        source: BackendError,
    },
    /// A [hook](crate::Hooks) refused.
    #[error("{kind}: the hook refused: {source}")]
    Hook {
        /// The kind concerned.
        kind: KindName,
        /// What the hook said.
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
    /// Bytes that other processors would not see change in one piece.
    #[error(
        "{len} bytes at {address:#x} do not change in one piece here, at most {whole} aligned bytes do: \
         follow the machine's patch protocol, or use `patch_unexecuted` where no processor executes them"
    )]
    NotWhole {
        /// Where.
        address: u64,
        /// How many bytes.
        len: u64,
        /// How many aligned bytes change in one piece: 0 where the memory is not executable while it changes.
        whole: u64,
    },
    /// The operation makes no sense for the kind.
    #[error("{kind} memory cannot be {operation}")]
    WrongKind {
        /// The kind of the memory.
        kind: KindName,
        /// What was wanted.
        operation: Operation,
    },
    /// The handle belongs to another engine.
    #[error("the memory at {address:#x} belongs to another engine")]
    ForeignHandle {
        /// Where it points.
        address: u64,
    },
    /// Nothing live is there.
    #[error("no live allocation holds {address:#x}")]
    NotFound {
        /// The address.
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
    /// The extent cannot be donated to the kind.
    #[error(
        "{extent} cannot be donated: it overlaps managed memory, is not made of whole quanta, \
         or the kind flips rights or has {limit} donations"
    )]
    BadDonation {
        /// The extent.
        extent: Extent,
        /// Donations that a kind can have.
        limit: usize,
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
}

impl core::fmt::Display for Operation {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Operation::Write => "written once it is published",
            Operation::Patch => "patched",
            Operation::Seal => "sealed",
        })
    }
}

/// An operation that failed, and the handle it was called with.
#[derive(Debug, PartialEq, Eq, Error)]
#[error("{error}")]
pub struct Failed<H: core::fmt::Debug> {
    /// The handle, as good as before.
    pub handle: H,
    /// Why.
    #[source]
    pub error: Error,
}

impl<H: core::fmt::Debug> From<Failed<H>> for Error {
    /// The error alone: for callers that need the handle no more. A plain handle counts as
    /// [dropped](crate::KindStats::dropped) then, an owned one frees its memory.
    fn from(failed: Failed<H>) -> Self {
        failed.error
    }
}
