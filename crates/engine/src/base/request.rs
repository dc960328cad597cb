//! What a caller asks for, where a kind and a length do not say all; and owners, which the live map of a pool notes with the
//! kind of an allocation in a *tag*.

use execmem_range::TAG_BITS;
use execmem_types::{Kind, KindSet, MAX_KINDS, PowerOfTwo};

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

/// What an allocation is for: a module, a client, a user. The engine only remembers the number; 0 is none in particular.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Owner(pub u16);

impl Owner {
    /// None in particular.
    pub const NONE: Self = Owner(0);
}

const OWNER_BITS: u32 = u16::BITS;
const _: () = assert!(MAX_KINDS <= 1 << (TAG_BITS - OWNER_BITS), "a tag holds both");

/// The tag of an allocation of the n-th kind of a set.
#[inline]
pub(crate) const fn tag_of(kind: u8, owner: Owner) -> u32 {
    (kind as u32) << OWNER_BITS | owner.0 as u32
}

/// Number of the kind, and owner, of an allocation with a tag.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "each has its bits")]
pub(crate) const fn parts_of(tag: u32) -> (u8, Owner) {
    ((tag >> OWNER_BITS) as u8, Owner(tag as u16))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_tell_what_went_in() {
        for kind in (0_u8..).take(MAX_KINDS) {
            for owner in [Owner::NONE, Owner(1), Owner(u16::MAX)] {
                let tag = tag_of(kind, owner);
                assert!(tag < 1 << TAG_BITS, "a tag holds both");
                assert_eq!(parts_of(tag), (kind, owner));
            }
        }
    }
}
