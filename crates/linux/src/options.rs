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
    /// Where memory for data comes from.
    pub data: DataSource,
    /// Keeps the ends of the window unmapped, so that an access beyond its first or last byte faults instead of
    /// reaching what somebody else mapped there. Costs 4 MiB of addresses. Between code and data there is such a gap
    /// anyway, as long as the window is not full.
    pub is_guarded: bool,
    /// The NUMA node that memory should come from if it has some. A hint: [`Linux::node`](crate::Linux::node) says
    /// whether the kernel took it. Pages of the reserved pool come from where it has any.
    pub node: Option<u32>,
    /// Readable bytes of its own that each piece of text begins with, before its entry point: for schemes that keep a
    /// hash or a length there. A multiple of 16 up to 4096. See
    /// [`Descriptor::lead`](execmem_types::Descriptor::lead).
    pub lead_bytes: u16,
}

/// Where memory for data comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DataSource {
    /// Where that for code comes from.
    Ordinary,
    /// Pages that the kernel itself has no mapping of (`memfd_secret`): for keys and the like. Always of the smallest
    /// size and never swapped out, so `RLIMIT_MEMLOCK` limits them, twice where memory is mapped twice. Code cannot be
    /// in them, nor constants with [`Publish::ProcMem`].
    Secret,
    /// `Secret` where the system allows it, else `Ordinary`. [`Linux::data`](crate::Linux::data) says which it became.
    SecretOrOrdinary,
}

/// How content gets into text, and so how many mappings the memory has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Publish {
    /// Two mappings of one memory file: text is executable from the start and written at another address.
    Poke,
    /// One mapping of anonymous memory: text is executable from the start, and the kernel writes to it
    /// (`/proc/self/mem`). Packed in large pages like `Poke` where the system forbids a second mapping, for a system
    /// call a write or free. Code must not be executed while it is patched, unless by a single byte.
    ProcMem,
    /// One mapping of anonymous memory: text is writable until it is published and executable from then on
    /// (`mprotect`). Slower, a page or more a function, and for systems that forbid the others. Code must not be
    /// executed while it is patched.
    Flip,
    /// The first of `Poke`, `ProcMem` and `Flip` that the system allows. [`Linux::publish`](crate::Linux::publish) says
    /// which it became, and [`Linux::refusal`](crate::Linux::refusal) why not `Poke`.
    Best,
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
    /// Near the program, published the best way there is, with pages of the reserved pool while it has any.
    fn default() -> Self {
        Options {
            window_bytes: None,
            publish: Publish::Best,
            place: Place::NearProgram,
            uses_reserved_pages: true,
            data: DataSource::Ordinary,
            is_guarded: false,
            node: None,
            lead_bytes: 0,
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

    /// The same with data from elsewhere.
    #[must_use]
    pub const fn data(mut self, source: DataSource) -> Self {
        self.data = source;
        self
    }

    /// The same with unmapped ends.
    #[must_use]
    pub const fn guarded(mut self) -> Self {
        self.is_guarded = true;
        self
    }

    /// The same with memory of a NUMA node.
    #[must_use]
    pub const fn node(mut self, node: u32) -> Self {
        self.node = Some(node);
        self
    }

    /// The same with readable bytes before each entry point.
    #[must_use]
    pub const fn lead(mut self, bytes: u16) -> Self {
        self.lead_bytes = bytes;
        self
    }
}
