//! What a caller asks for.

use core::ops::Range;

/// Where in the free space a range should go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Fit {
    /// The hole that fits most tightly; of equals, a low one. Keeps the space dense and costs the least time.
    #[default]
    Tightest,
    /// The lowest place that fits.
    Lowest,
    /// The highest place that fits.
    Highest,
}

/// A request for a range.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Length. Rounded up to a multiple of the arena's quantum.
    pub len: u64,
    /// Alignment of the start, a power of two. One quantum or less asks for nothing.
    pub align: u64,
    /// The half-open part of the arena the whole range must lie in; `None` is all of it.
    /// [`Fit::Tightest`] means [`Fit::Lowest`] in such a part.
    pub within: Option<Range<u64>>,
    /// Where to put it.
    pub fit: Fit,
    /// What [`Ledger::find`](crate::Ledger::find) tells about it beside its place; 20 bits, 0 for nothing. One that
    /// is unusual where the range lies costs 8 bytes and a little time.
    pub tag: u32,
}

impl Request {
    /// `len` anywhere, as tight as possible.
    #[must_use]
    pub const fn new(len: u64) -> Self {
        Request { len, align: 1, within: None, fit: Fit::Tightest, tag: 0 }
    }

    /// The same with a start that is a multiple of `align`.
    #[must_use]
    pub const fn aligned(mut self, align: u64) -> Self {
        self.align = align;
        self
    }

    /// The same inside `within`.
    #[must_use]
    pub fn within(mut self, within: Range<u64>) -> Self {
        self.within = Some(within);
        self
    }

    /// The same placed by `fit`.
    #[must_use]
    pub const fn placed(mut self, fit: Fit) -> Self {
        self.fit = fit;
        self
    }

    /// The same with a tag.
    #[must_use]
    pub const fn tagged(mut self, tag: u32) -> Self {
        self.tag = tag;
        self
    }
}
