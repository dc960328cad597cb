//! What is known about one page at home, in a word.

use execmem_types::{Protection, Rights};

use crate::Backing;

/// One page.
///
/// | bits | meaning |
/// |---|---|
/// | 0 to 2 | rights; 0 if nothing is mapped |
/// | 3 | [latent](Self::LATENT) |
/// | 4 to 6 | [`Backing`] |
/// | 7 to 9 | the [`Rights`] that its mapping said it may have |
/// | 10 | mapped [twice](Self::TWICE) |
/// | 11 to 13 | the rights before those that are about to be given |
/// | 14 to 31 | accesses that rely on the rights at the moment |
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Page(pub(crate) u32);

const RIGHTS: u32 = 0b111;
const BACKING_SHIFT: u32 = 4;
const ALLOWED_SHIFT: u32 = 7;
const BEFORE_SHIFT: u32 = 11;
const PIN_SHIFT: u32 = 14;

/// The rights that a mapping can say, beside none, in the order of their bits.
const SAID: [Protection; 3] = [Protection::ReadOnly, Protection::ReadWrite, Protection::ReadExecute];

impl Page {
    /// Nothing is mapped.
    pub(crate) const ABSENT: Page = Page(0);

    /// Mapped, and without memory: nothing was written there yet, and it is out of reach at home.
    pub(crate) const LATENT: u32 = 1 << 3;

    /// Home maps a memory file, of which the writable view shows the same page.
    pub(crate) const TWICE: u32 = 1 << 10;

    /// One access that relies on the rights.
    pub(crate) const PIN: u32 = 1 << PIN_SHIFT;

    /// No further access can be counted.
    const FULL: u32 = u32::MAX - Self::PIN + 1;

    /// A page that was just mapped.
    pub(crate) fn mapped(protection: Protection, rights: Rights, backing: Backing) -> Self {
        let bit = |index: u32| 1 << (ALLOWED_SHIFT + index);
        let said = (0..).zip(SAID).filter(|(_, right)| rights.contain(*right));
        let allowed = said.fold(0, |bits, (index, _)| bits | bit(index));
        Page(encode(Some(protection)) | (backing as u32) << BACKING_SHIFT | allowed)
    }

    /// The same with one of the flags.
    pub(crate) const fn with(self, flag: u32, is_set: bool) -> Self {
        Page(if is_set { self.0 | flag } else { self.0 & !flag })
    }

    /// Its rights; `None` if nothing is mapped.
    #[inline]
    pub(crate) const fn rights(self) -> Option<Protection> {
        decode(self.0)
    }

    /// Every right that it may have.
    pub(crate) fn allowed(self) -> Rights {
        let said = (0..).zip(SAID).filter(|(index, _)| self.0 & 1 << (ALLOWED_SHIFT + index) != 0);
        said.fold(Rights::only(Protection::NoAccess), |rights, (_, right)| rights.and(right))
    }

    /// What the memory is made of.
    pub(crate) fn backing(self) -> Option<Backing> {
        self.rights()?;
        Backing::ALL.get((self.0 >> BACKING_SHIFT & 0b111) as usize).copied()
    }

    /// The same of another make.
    pub(crate) const fn made_of(self, backing: Backing) -> Self {
        Page(self.0 & !(0b111 << BACKING_SHIFT) | (backing as u32) << BACKING_SHIFT)
    }

    pub(crate) const fn is_latent(self) -> bool {
        self.0 & Self::LATENT != 0
    }

    pub(crate) const fn is_twice(self) -> bool {
        self.0 & Self::TWICE != 0
    }

    /// Whether its bytes are accessed through the writable view at any time: it is mapped twice, has memory, and can be
    /// read at home.
    #[inline]
    pub(crate) const fn is_open(self) -> bool {
        self.0 & (Self::TWICE | Self::LATENT) == Self::TWICE && self.0 & RIGHTS > 1
    }

    /// Whether accesses rely on its rights.
    pub(crate) const fn is_pinned(self) -> bool {
        self.0 >= Self::PIN
    }

    /// Whether no further access can be counted.
    pub(crate) const fn is_full(self) -> bool {
        self.0 >= Self::FULL
    }

    /// The same on the way to other rights: with those that both have in common, and remembering its own.
    pub(crate) const fn restricted(self, to: Protection) -> Self {
        let own = self.0 & RIGHTS;
        let kept = match self.rights() {
            Some(own) => encode(Some(common(own, to))),
            None => 0,
        };
        Page(self.0 & !(RIGHTS | RIGHTS << BEFORE_SHIFT) | kept | own << BEFORE_SHIFT)
    }

    /// The same with the rights that it had before it was restricted.
    pub(crate) const fn restored(self) -> Self {
        Page(self.0 & !(RIGHTS | RIGHTS << BEFORE_SHIFT) | self.0 >> BEFORE_SHIFT & RIGHTS)
    }

    /// The same with other rights.
    pub(crate) const fn given(self, to: Protection) -> Self {
        Page(self.0 & !(RIGHTS | RIGHTS << BEFORE_SHIFT) | encode(Some(to)))
    }

    /// The same, not mapped.
    pub(crate) const fn hidden(self) -> Self {
        Page(self.0 & !(RIGHTS | RIGHTS << BEFORE_SHIFT))
    }

    /// The accesses that rely on it, and nothing else.
    pub(crate) const fn only_pins(self) -> Self {
        Page(self.0 >> PIN_SHIFT << PIN_SHIFT)
    }
}

const fn encode(protection: Option<Protection>) -> u32 {
    match protection {
        None => 0,
        Some(Protection::NoAccess) => 1,
        Some(Protection::ReadOnly) => 2,
        Some(Protection::ReadWrite) => 3,
        Some(Protection::ReadExecute) => 4,
    }
}

const fn decode(word: u32) -> Option<Protection> {
    match word & RIGHTS {
        1 => Some(Protection::NoAccess),
        2 => Some(Protection::ReadOnly),
        3 => Some(Protection::ReadWrite),
        4 => Some(Protection::ReadExecute),
        _ => None,
    }
}

/// The rights that two have in common.
const fn common(one: Protection, other: Protection) -> Protection {
    match (one, other) {
        _ if encode(Some(one)) == encode(Some(other)) => one,
        (Protection::NoAccess, _) | (_, Protection::NoAccess) => Protection::NoAccess,
        _ => Protection::ReadOnly,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLIPPED: Rights = Rights::only(Protection::ReadWrite).and(Protection::ReadExecute);

    #[test]
    fn a_page_remembers_all_of_its_parts() {
        for backing in Backing::ALL {
            let page = Page::mapped(Protection::ReadWrite, FLIPPED, backing);
            assert_eq!(page.rights(), Some(Protection::ReadWrite));
            assert_eq!((page.allowed(), page.backing()), (FLIPPED, Some(backing)));
            assert!(!page.is_latent() && !page.is_twice() && !page.is_pinned());
            let restricted = Page(page.0 + 5 * Page::PIN).restricted(Protection::ReadExecute);
            assert_eq!(restricted.rights(), Some(Protection::ReadOnly));
            assert_eq!(restricted.restored(), Page(page.0 + 5 * Page::PIN));
            let given = restricted.given(Protection::ReadExecute);
            assert_eq!((given.rights(), given.allowed()), (Some(Protection::ReadExecute), FLIPPED));
            assert_eq!(given.only_pins().0, 5 * Page::PIN);
            assert_eq!(page.made_of(Backing::Secret).backing(), Some(Backing::Secret));
        }
        assert_eq!((Page::ABSENT.rights(), Page::ABSENT.backing()), (None, None));
        assert_eq!(Page::ABSENT.restricted(Protection::ReadOnly).restored(), Page::ABSENT);
    }

    #[test]
    fn the_writable_view_serves_pages_that_are_mapped_twice_and_have_memory() {
        let page = |protection| Page::mapped(protection, Rights::only(protection), Backing::Small);
        for protection in [Protection::ReadOnly, Protection::ReadExecute] {
            let twice = page(protection).with(Page::TWICE, true);
            assert!(twice.is_open() && !page(protection).is_open());
            assert!(!twice.with(Page::LATENT, true).is_open());
            assert!(!twice.restricted(Protection::NoAccess).is_open());
        }
        assert!(!Page(Page::TWICE).is_open());
    }
}
