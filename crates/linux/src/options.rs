//! What a caller may choose.

use execmem_types::Extent;

/// How to set up executable memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Options {
    /// Bytes of addresses to reserve: a multiple of 2 MiB, at most 2 GiB so that everything in the window is within
    /// reach of everything else. Costs no memory until used.
    ///
    /// `None` is half the reach of a direct call, at most 1 GiB.
    pub window_bytes: Option<u64>,
    /// How content gets into text.
    pub publish: Publish,
    /// Where the window lies.
    pub place: Place,
    /// Take 2 MiB pages from the pool that the administrator reserved (`vm.nr_hugepages`) while it has any. Only with
    /// [`Publish::Poke`]: private memory of the pool does not survive `fork`.
    pub uses_reserved_pages: bool,
}

/// How content gets into text, and so how many mappings the memory has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Publish {
    /// Two mappings of one memory file: text is executable from the start and written at another address.
    Poke,
    /// One mapping of anonymous memory: text is writable until it is published and executable from then on
    /// (`mprotect`). Slower, a page or more a function, and for systems that forbid the other.
    Flip,
    /// `Poke` where the system allows it, else `Flip`. [`Linux::publish`](crate::Linux::publish) says which it became,
    /// and [`Linux::refusal`](crate::Linux::refusal) why.
    PokeOrFlip,
}

/// Where a window lies. Decided once; nothing is looked for later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Where the system likes.
    Anywhere,
    /// Within reach of a direct call of the program this crate is linked into; anywhere if there is no room.
    /// [`Linux::anchor`](crate::Linux::anchor) says which.
    NearProgram,
    /// Within reach of a direct call of all of this.
    Near(Extent),
}

impl Default for Options {
    /// Near the program, poked if possible, with pages of the reserved pool while it has any.
    fn default() -> Self {
        Options {
            window_bytes: None,
            publish: Publish::PokeOrFlip,
            place: Place::NearProgram,
            uses_reserved_pages: true,
        }
    }
}

impl Options {
    /// The same with a window of `bytes`.
    #[must_use]
    pub const fn window(mut self, bytes: u64) -> Self {
        self.window_bytes = Some(bytes);
        self
    }

    /// The same with content published this way.
    #[must_use]
    pub const fn publish(mut self, publish: Publish) -> Self {
        self.publish = publish;
        self
    }

    /// The same at another place.
    #[must_use]
    pub const fn place(mut self, place: Place) -> Self {
        self.place = place;
        self
    }

    /// The same without pages of the reserved pool.
    #[must_use]
    pub const fn without_reserved_pages(mut self) -> Self {
        self.uses_reserved_pages = false;
        self
    }
}
