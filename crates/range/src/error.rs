//! What a caller can do wrong, and what can run out.

use thiserror::Error;

/// Why an operation on an [`Arena`](crate::Arena) was refused. The arena is as it was before the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Error {
    /// The length was zero.
    #[error("a range of length 0 was requested; the smallest is one quantum")]
    ZeroLength,
    /// The length or position lies beyond what an arena can address.
    #[error("{value:#x} is beyond the end of the arena's coordinates at {limit:#x}")]
    TooLarge {
        /// The offending length or position.
        value: u64,
        /// First position that cannot be addressed.
        limit: u64,
    },
    /// The alignment was zero or not a power of two.
    #[error("alignment {align:#x} is not a power of two")]
    BadAlignment {
        /// The alignment asked for.
        align: u64,
    },
    /// The tag has more bits than there is room for.
    #[error("tag {tag:#x} has more than {bits} bits")]
    BadTag {
        /// The tag asked for.
        tag: u32,
        /// Bits a tag can have.
        bits: u32,
    },
    /// A position or length that must be a multiple of the quantum was not.
    #[error("{value:#x} is not a multiple of the quantum {quantum:#x}")]
    NotQuantized {
        /// The offending position or length.
        value: u64,
        /// The arena's quantum.
        quantum: u64,
    },
    /// No hole can serve the request.
    #[error("no hole holds {len:#x} aligned to {align:#x}; the largest hole has {largest:#x}")]
    Exhausted {
        /// Length asked for, rounded up to the quantum.
        len: u64,
        /// Alignment asked for.
        align: u64,
        /// Length of the largest hole anywhere in the arena.
        largest: u64,
    },
    /// The range named is not wholly free.
    #[error("{len:#x} at {start:#x} are not wholly free")]
    NotFree {
        /// Start of the range.
        start: u64,
        /// Its length.
        len: u64,
    },
    /// No live range starts at the position (never allocated, freed before, or inside a range).
    #[error("no live range starts at {at:#x}")]
    NotLive {
        /// The position.
        at: u64,
    },
    /// The cut does not lie strictly inside the live range.
    #[error("cutting at {at:#x} does not divide the live range {start:#x}..{end:#x}")]
    BadCut {
        /// Where the cut was asked for.
        at: u64,
        /// Start of the live range.
        start: u64,
        /// End of the live range.
        end: u64,
    },
    /// The new span overlaps one the arena already manages.
    #[error("span {start:#x}..{end:#x} overlaps space that is already managed")]
    Overlap {
        /// Start of the new span.
        start: u64,
        /// End of the new span.
        end: u64,
    },
    /// Memory for bookkeeping could not be had.
    #[error("out of memory for bookkeeping")]
    OutOfMemory,
}
