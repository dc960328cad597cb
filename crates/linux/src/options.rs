//! What a caller may choose.

/// How to set up executable memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Options {
    /// Bytes of addresses to reserve: a multiple of 2 MiB, at most 2 GiB so that everything in the window is within
    /// reach of everything else. Costs no memory until used.
    pub window_bytes: u64,
}

impl Default for Options {
    /// A window of 1 GiB.
    fn default() -> Self {
        Options { window_bytes: 1 << 30 }
    }
}

impl Options {
    /// The same with a window of `bytes`.
    #[must_use]
    pub const fn window(mut self, bytes: u64) -> Self {
        self.window_bytes = bytes;
        self
    }
}
