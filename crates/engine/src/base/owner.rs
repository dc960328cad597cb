//! Owners, and how the live map of a pool notes owner and kind of an allocation: in a *tag* of 20 bits.

/// What an allocation is for: a module, a client, a user. The engine only remembers the number; 0 is none in particular.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Owner(pub u16);

impl Owner {
    /// None in particular.
    pub const NONE: Self = Owner(0);
}

const OWNER_BITS: u32 = u16::BITS;
const _: () = assert!(execmem_types::MAX_SHARERS <= 1 << (20 - OWNER_BITS), "a tag has 20 bits");

/// The tag of an allocation of the n-th kind that shares a pool. That of the pool's own kind without an owner is 0.
#[inline]
pub(crate) const fn tag_of(sharer: u8, owner: Owner) -> u32 {
    (sharer as u32) << OWNER_BITS | owner.0 as u32
}

/// Number of the sharer, and owner, of an allocation with a tag.
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
        for sharer in (0_u8..).take(execmem_types::MAX_SHARERS) {
            for owner in [Owner::NONE, Owner(1), Owner(u16::MAX)] {
                let tag = tag_of(sharer, owner);
                assert!(tag < 1 << 20, "a tag has 20 bits");
                assert_eq!(parts_of(tag), (sharer, owner));
            }
        }
    }
}
