//! What a caller can do wrong, and what can run out.

use crate::TAG_BITS;
use thiserror::Error;

/// Why an operation on an [`Arena`](crate::Arena) was refused. The arena is as it was before the call. Positions and
/// lengths are those of the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Error {
    /// The length or span is empty; the smallest is one quantum.
    #[error("a range of length 0 was requested; the smallest is one quantum")]
    ZeroLength,
    /// A length or position is beyond what can be addressed.
    #[error("{0:#x} is more quanta than can be addressed; use larger quanta or less space")]
    TooLarge(u64),
    /// The alignment is no power of two.
    #[error("the alignment {0:#x} is not a power of two")]
    BadAlignment(u64),
    /// The tag has more than [`TAG_BITS`] bits.
    #[error("the tag {0:#x} has more than {TAG_BITS} bits")]
    BadTag(u32),
    /// A position that must be a multiple of the quantum is not.
    #[error("{0:#x} is not a multiple of the quantum")]
    NotQuantized(u64),
    /// Not all of the span that starts here is managed and free.
    #[error("the span at {0:#x} is not wholly free")]
    NotFree(u64),
    /// No live range starts here: it was never allocated, was freed before, or is another arena's.
    #[error("no live range starts at {0:#x}")]
    NotLive(u64),
    /// No withheld hole starts here.
    #[error("no withheld hole starts at {0:#x}")]
    NotWithheld(u64),
    /// A cut here leaves nothing of the live range behind it.
    #[error("cutting at {0:#x} does not divide the live range before it")]
    BadCut(u64),
    /// The new span that starts here overlaps one that the arena manages already.
    #[error("the span at {0:#x} overlaps space that is already managed")]
    Overlap(u64),
    /// The page of the live map is written by another arena.
    #[error("the page of the live map at {0:#x} is another arena's; arenas must not share one")]
    SharedPage(u64),
    /// Memory for bookkeeping could not be had.
    #[error("out of memory for bookkeeping")]
    OutOfMemory,
    /// A space cannot drain before memory for that was secured.
    #[error("no memory was secured to drain a space")]
    NotPrepared,
}
