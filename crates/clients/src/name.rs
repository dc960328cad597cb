//! Names in errors: short, inline, and cut where they are long.

use core::fmt;

const MAX_BYTES: usize = 38;

/// The name of a section or symbol, cut to 38 bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Name {
    bytes: [u8; MAX_BYTES],
    len: u8,
    is_cut: bool,
}

impl Name {
    /// The name, cut at a character boundary if it is long.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let mut len = name.len().min(MAX_BYTES);
        while !name.is_char_boundary(len) {
            len -= 1;
        }
        let mut bytes = [0; MAX_BYTES];
        bytes[..len].copy_from_slice(&name.as_bytes()[..len]);
        let is_cut = len < name.len();
        Name { bytes, len: u8::try_from(len).unwrap_or(0), is_cut }
    }

    /// The name as far as it is kept.
    #[must_use]
    pub fn as_str(&self) -> &str {
        core::str::from_utf8(&self.bytes[..usize::from(self.len)]).unwrap_or("")
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.as_str(), if self.is_cut { "…" } else { "" })
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::{String, ToString as _};

    use super::*;

    #[test]
    fn long_names_are_cut_at_a_character() {
        assert_eq!(Name::new(".text").to_string(), ".text");
        let long: String = core::iter::repeat_n('é', 40).collect();
        assert_eq!(Name::new(&long).as_str().chars().count(), 19);
        assert!(Name::new(&long).to_string().ends_with('…'));
    }
}
