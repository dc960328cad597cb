//! What tables and engine know of an architecture: numbers only.

use crate::{Extent, PageSize, Reach, Trap};

/// Most leaf sizes a machine can have.
pub const MAX_LEAVES: usize = 8;

/// Facts about a machine. Nothing here is code, so every machine can be simulated on every other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Machine {
    /// Linux's name of the architecture, with the variant where one matters.
    pub name: &'static str,
    /// Width of an address: 32 or 64.
    pub address_bits: u32,
    /// Sizes of leaf entries and of entry runs treated as one, smallest first. `None` only after the last.
    pub leaves: [Option<PageSize>; MAX_LEAVES],
    /// The instruction that stands where no code is.
    pub trap: Trap,
    /// Reach of a direct call.
    pub reach: Reach,
    /// The kernel image, or whatever code calls and is called directly. `None` where nothing is.
    pub anchor: Option<Extent>,
}

impl Machine {
    /// Size of the smallest leaf.
    #[must_use]
    pub const fn page(&self) -> PageSize {
        match self.leaves[0] {
            Some(page) => page,
            None => panic!("a machine has a page size"),
        }
    }

    /// The leaf sizes, smallest first.
    pub fn leaves(&self) -> impl Iterator<Item = PageSize> + '_ {
        self.leaves.iter().flatten().copied()
    }

    /// All addresses.
    #[must_use]
    pub(crate) const fn last_address(&self) -> u64 {
        if self.address_bits >= 64 { u64::MAX } else { (1 << self.address_bits) - 1 }
    }
}
