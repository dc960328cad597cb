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

/// A set of rights: what a mapping has now and all that it may ever be given.
///
/// [`Protection::NoAccess`] is in every set.
///
/// ```
/// use execmem_types::{Protection, Rights};
///
/// const FLIPPED: Rights = Rights::only(Protection::ReadWrite).and(Protection::ReadExecute);
/// assert!(FLIPPED.contain(Protection::NoAccess) && !FLIPPED.contain(Protection::ReadOnly));
/// assert_eq!(FLIPPED.to_string(), "rw- r-x");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Rights(u8);

impl Rights {
    /// Every right there is.
    pub const ALL: Self = Self::only(Protection::ReadOnly).and(Protection::ReadWrite).and(Protection::ReadExecute);

    /// One right.
    #[must_use]
    pub const fn only(protection: Protection) -> Self {
        Rights(1 << protection as u8 | 1 << Protection::NoAccess as u8)
    }

    /// The same and one more.
    #[must_use]
    pub const fn and(self, protection: Protection) -> Self {
        Rights(self.0 | 1 << protection as u8)
    }

    /// Whether a right is one of them.
    #[must_use]
    pub const fn contain(self, protection: Protection) -> bool {
        self.0 & 1 << protection as u8 != 0
    }
}

impl fmt::Display for Rights {
    /// Its members, least first, as [`Protection`] shows them; `---` if that is all.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let some = [Protection::ReadOnly, Protection::ReadWrite, Protection::ReadExecute];
        let mut members = some.into_iter().filter(|member| self.contain(*member));
        write!(f, "{}", members.next().unwrap_or(Protection::NoAccess))?;
        members.try_for_each(|member| write!(f, " {member}"))
    }
}

#[cfg(test)]
mod tests {
    extern crate alloc;

    use alloc::string::ToString as _;

    use super::*;

    #[test]
    fn rights_are_shown_least_first() {
        assert_eq!(Rights::ALL.to_string(), "r-- rw- r-x");
        assert_eq!(Rights::only(Protection::ReadWrite).to_string(), "rw-");
        assert_eq!(Rights::only(Protection::NoAccess).to_string(), "---");
    }
}
