//! Whose an allocation is, and how the ledger of a pool notes it.

use execmem_types::Kind;

/// Whoever an allocation is for: a module, a client, a user. The engine only remembers the number; 0 is nobody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Owner(pub u16);

impl Owner {
    /// Nobody in particular.
    pub const NOBODY: Self = Owner(0);
}

const OWNER_BITS: u32 = u16::BITS;

/// The tag of an allocation in the ledger of its pool. None is needed for one of the pool's own kind that is nobody's.
#[expect(clippy::cast_possible_truncation, reason = "there are 10 kinds")]
pub(crate) const fn tag_of(kind: Kind, home: Kind, owner: Owner) -> u32 {
    if kind.index() == home.index() && owner.0 == 0 {
        return 0;
    }
    (kind.index() as u32 + 1) << OWNER_BITS | owner.0 as u32
}

/// Kind and owner of an allocation with a tag.
pub(crate) fn parts_of(tag: u32, home: Kind) -> (Kind, Owner) {
    #[expect(clippy::cast_possible_truncation, reason = "the low half is meant")]
    let owner = Owner(tag as u16);
    let kind = (tag >> OWNER_BITS).checked_sub(1).and_then(|index| Kind::ALL.get(index as usize));
    (kind.copied().unwrap_or(home), owner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_tell_what_went_in() {
        for home in Kind::ALL {
            for kind in Kind::ALL {
                for owner in [Owner::NOBODY, Owner(1), Owner(u16::MAX)] {
                    let tag = tag_of(kind, home, owner);
                    assert!(tag < 1 << 20, "a tag has 20 bits");
                    assert_eq!(parts_of(tag, home), (kind, owner));
                }
            }
        }
    }
}
