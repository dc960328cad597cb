//! What a caller asks for, where a kind and a length do not say all.

use execmem_types::{Kind, KindSet, PowerOfTwo};

use super::owner::Owner;

/// A request for memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request<S: KindSet = Kind> {
    /// What the memory is for.
    pub kind: S,
    /// Bytes. Rounded up to the quantum of the kind.
    pub len: u64,
    /// What the address must be a multiple of. The kind's own alignment holds in any case. At most the largest page of
    /// the kind.
    pub align: PowerOfTwo,
    /// What it is for, as [`Engine::find`](crate::Engine::find) tells. Any but [`Owner::NONE`] costs a little more.
    pub owner: Owner,
    /// Whether memory may be mapped for it. If not, the call makes no system call and waits for no slow one.
    pub may_grow: bool,
}

impl<S: KindSet> Request<S> {
    /// `len` bytes, aligned as the kind says, without an owner.
    #[must_use]
    #[inline]
    pub const fn new(kind: S, len: u64) -> Self {
        Request { kind, len, align: PowerOfTwo::from_log2(0), owner: Owner::NONE, may_grow: true }
    }

    /// The same at a multiple of `align`.
    #[must_use]
    pub const fn aligned(mut self, align: PowerOfTwo) -> Self {
        self.align = align;
        self
    }

    /// The same for an owner.
    #[must_use]
    pub const fn owned_by(mut self, owner: Owner) -> Self {
        self.owner = owner;
        self
    }

    /// The same from memory that is mapped already, or not at all: for callers that must not wait.
    #[must_use]
    pub const fn without_growth(mut self) -> Self {
        self.may_grow = false;
        self
    }
}
