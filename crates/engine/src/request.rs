//! What a caller asks for, where a kind and a length do not say all.

use execmem_types::{Kind, PowerOfTwo};

use crate::Owner;

/// A request for memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request {
    /// What the memory is for.
    pub kind: Kind,
    /// Bytes. Rounded up to the quantum of the kind.
    pub len: u64,
    /// What the address must be a multiple of. The kind's own alignment holds in any case. At most the largest page of
    /// the kind.
    pub align: PowerOfTwo,
    /// Whom it is for, as [`Engine::find`](crate::Engine::find) tells. Costs a little more for others than nobody.
    pub owner: Owner,
}

impl Request {
    /// `len` bytes, aligned as the kind says, for nobody in particular.
    #[must_use]
    #[inline]
    pub const fn new(kind: Kind, len: u64) -> Self {
        Request { kind, len, align: PowerOfTwo::from_log2(0), owner: Owner::NOBODY }
    }

    /// The same at a multiple of `align`.
    #[must_use]
    pub const fn aligned(mut self, align: PowerOfTwo) -> Self {
        self.align = align;
        self
    }

    /// The same for somebody.
    #[must_use]
    pub const fn owned_by(mut self, owner: Owner) -> Self {
        self.owner = owner;
        self
    }
}
