//! What may be done with memory at its address.

use core::fmt;

/// The rights of a mapping. There is no member that allows both writing and executing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Protection {
    /// Nothing.
    NoAccess,
    /// Read.
    ReadOnly,
    /// Read and write.
    ReadWrite,
    /// Read and execute.
    ReadExecute,
}

impl Protection {
    /// Whether instructions may be fetched.
    #[must_use]
    pub const fn is_executable(self) -> bool {
        matches!(self, Protection::ReadExecute)
    }

    /// Whether stores are allowed.
    #[must_use]
    pub const fn is_writable(self) -> bool {
        matches!(self, Protection::ReadWrite)
    }
}

impl fmt::Display for Protection {
    /// As in `/proc/self/maps`: `---`, `r--`, `rw-`, `r-x`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Protection::NoAccess => "---",
            Protection::ReadOnly => "r--",
            Protection::ReadWrite => "rw-",
            Protection::ReadExecute => "r-x",
        })
    }
}
