//! What a caller may choose.

use execmem_types::Extent;

/// How to set up executable memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Options {
    /// Bytes of addresses to reserve: a multiple of 2 MiB, at most 2 GiB so that everything in the window is within
    /// reach of everything else. Costs no memory until used.
    ///
    /// `None` is half the reach of a direct call, at most 1 GiB; and less where the process has no room for that near the
    /// program, or may not have as many addresses. [`Facts::narrowed`](crate::Facts::narrowed) says why.
    pub window_bytes: Option<u64>,
    /// How content gets into text.
    pub publish: Publish,
    /// Where the window lies.
    pub place: Place,
    /// What decides about places that are random: the window as far as its place allows, the first unit of each kind,
    /// the writable views. `None` is the system's random numbers.
    pub seed: Option<u64>,
    /// Bytes of code, rounded up to 2 MiB, whose memory is made beforehand and kept: to allocate and free in it takes no
    /// system call, so a process may give up the right to all of them ([the list](crate#system-calls)). Such memory is
    /// resident, and is executable and full of traps while it is not used. With [`Publish::ProcMem`] writes are system
    /// calls all the same; with `Flip` it is an error.
    pub prepared_bytes: u64,
    /// Take 2 MiB pages from the pool that the administrator reserved (`vm.nr_hugepages`) while it has any. Only with
    /// [`Publish::Poke`]: private memory of the pool does not survive `fork`.
    pub uses_reserved_pages: bool,
    /// Units are in large pages from their start, if there are any. Without it, the first unit of a kind begins with
    /// 8 KiB and becomes a large page as it is used.
    pub starts_large: bool,
    /// Where memory for data comes from.
    pub data: DataSource,
    /// Keeps the ends of the window unmapped, so that an access beyond its first or last byte faults instead of
    /// reaching what other code mapped there, and 2 MiB between code, data, constants and sealed data if the window
    /// has 32 MiB or more. Without it there is such a gap between code and the rest as long as the window is not full.
    pub is_guarded: bool,
    /// Keeps mappings that never change as they are until the process ends (`mseal`, since Linux 6.10): the unmapped
    /// ends of a guarded window, and prepared code where it is executed. They stay when the memory is dropped.
    /// [`Facts::is_sealed`](crate::Facts::is_sealed) says whether the system can.
    pub is_sealed: bool,
    /// Takes every right from the writable views between writes. Each write then takes two system calls and a lock, and
    /// threads wait for each other.
    pub hides_views: bool,
    /// Lets debuggers set breakpoints in code. They cannot where code is mapped twice, so [`Publish::Best`] becomes
    /// `ProcMem` with it. (Breakpoints of the processor, `hbreak` in gdb, are always possible.)
    pub is_debuggable: bool,
    /// The NUMA node that memory should come from if it has some. A hint: [`Facts::node`](crate::Facts::node) says
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
    /// size and never swapped out, so `RLIMIT_MEMLOCK` limits them, twice where memory is mapped twice: constants are.
    /// Code cannot be in them, nor constants unless they are mapped twice. A forked child does not have them.
    Secret,
    /// `Secret` where the system allows it, else `Ordinary`. [`Facts::data`](crate::Facts::data) says which it became.
    SecretOrOrdinary,
}

/// How content gets into text, and so how many mappings the memory has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Publish {
    /// Two mappings of memory files: text is executable from the start and written at another address.
    Poke,
    /// One mapping of anonymous memory: text is executable from the start, and the kernel writes to it
    /// (`/proc/self/mem`). Packed in large pages like `Poke` where the system forbids a second mapping, for a system
    /// call a write or free. Code must not be executed while it is patched, unless by a single byte.
    ProcMem,
    /// One mapping of anonymous memory: text is writable until it is published and executable from then on
    /// (`mprotect`). Slower, a page or more a function, and for systems that forbid the others. Code must not be
    /// executed while it is patched.
    Flip,
    /// The first of `Poke`, `ProcMem` and `Flip` that the system allows. [`Facts::publish`](crate::Facts::publish) says
    /// which it became, and [`Facts::refusal`](crate::Facts::refusal) why not `Poke`. If that is forbidden later only,
    /// memory made from then on is as with `ProcMem`. A process that has no descriptor left at the moment gets an error.
    Best,
}

/// Where a window lies. Decided once, at random as far as there is a choice ([how far](crate#places)); nothing is looked
/// for later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Anywhere in the address space.
    Anywhere,
    /// Within reach of a direct call of the program or library this crate is linked into; anywhere if there is no room,
    /// and then all code says that it is far. [`Facts::anchor`](crate::Facts::anchor) says
    /// which.
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
            seed: None,
            prepared_bytes: 0,
            uses_reserved_pages: true,
            starts_large: false,
            data: DataSource::Ordinary,
            is_guarded: false,
            is_sealed: false,
            hides_views: false,
            is_debuggable: false,
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

    /// The same at places that follow from a seed.
    #[must_use]
    pub const fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// The same with so many bytes of code made beforehand.
    #[must_use]
    pub const fn prepare(mut self, bytes: u64) -> Self {
        self.prepared_bytes = bytes;
        self
    }

    /// The same with large pages from the start.
    #[must_use]
    pub const fn large_at_once(mut self) -> Self {
        self.starts_large = true;
        self
    }

    /// The same with mappings that stay as they are.
    #[must_use]
    pub const fn sealed(mut self) -> Self {
        self.is_sealed = true;
        self
    }

    /// The same with writable views that have no rights between writes.
    #[must_use]
    pub const fn hidden_views(mut self) -> Self {
        self.hides_views = true;
        self
    }

    /// The same with breakpoints.
    #[must_use]
    pub const fn debuggable(mut self) -> Self {
        self.is_debuggable = true;
        self
    }

    /// The same with unmapped ends and gaps.
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
