//! The policies of Linux as rows: which store serves which kind.

use execmem_types::Kind;

/// How memory of a kind is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Store {
    /// Pages of an area that the module's other kinds of this store share.
    Lump,
    /// An area of its own, in whole pages.
    Pages,
    /// Slots of one size, as many as fit a page, which is of the store of trampolines.
    Slots,
    /// Chunks of the row's shared blocks, which are executable from the start and written through another mapping.
    Blocks,
    /// Whole pages of a cache of large executable blocks, which become writable and executable again one by one.
    Cache,
}

/// A policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PolicyRow {
    /// By which `data/policies.toml` knows it.
    pub key: &'static str,
    /// Its name. Rows that serve different machines may share one.
    pub name: &'static str,
    /// What it is.
    pub about: &'static str,
    /// Text and init text of modules.
    pub text: Store,
    /// All other kinds of modules.
    pub data: Store,
    /// BPF programs.
    pub bpf: Store,
    /// Slots of kprobes.
    pub kprobe: Store,
    /// Trampolines of ftrace.
    pub ftrace: Store,
    /// How many of the shared blocks are mapped large; those after them are mapped in small pages.
    pub large_blocks: u64,
}

impl PolicyRow {
    /// The store of a kind.
    #[must_use]
    pub const fn store(&self, kind: Kind) -> Store {
        match kind {
            Kind::Text | Kind::InitText => self.text,
            Kind::Data | Kind::RoData | Kind::RoAfterInit | Kind::InitData | Kind::InitRoData => self.data,
            Kind::Kprobe => self.kprobe,
            Kind::Ftrace => self.ftrace,
            Kind::Bpf => self.bpf,
        }
    }
}

/// Every policy of Linux, oldest first; of one name, that with most of it first.
pub const ROWS: [PolicyRow; 6] = [
    PolicyRow {
        key: "module_alloc",
        name: "module_alloc",
        about: "one lump a module in whole pages; a page or more for everything else",
        text: Store::Lump,
        data: Store::Lump,
        bpf: Store::Pages,
        kprobe: Store::Slots,
        ftrace: Store::Pages,
        large_blocks: 0,
    },
    PolicyRow {
        key: "prog_pack",
        name: "prog_pack",
        about: "the same, with BPF programs in packs of 2M mapped in small pages, as Linux 6.1 has them",
        text: Store::Lump,
        data: Store::Lump,
        bpf: Store::Blocks,
        kprobe: Store::Slots,
        ftrace: Store::Pages,
        large_blocks: 0,
    },
    PolicyRow {
        key: "execmem-v2",
        name: "execmem-v2",
        about: "all code in chunks of shared large blocks; data in lumps as before",
        text: Store::Blocks,
        data: Store::Lump,
        bpf: Store::Blocks,
        kprobe: Store::Blocks,
        ftrace: Store::Blocks,
        large_blocks: u64::MAX,
    },
    PolicyRow {
        key: "linux",
        name: "linux",
        about: "module text, trampolines and probes in a cache of large blocks, by pages; data in pages; BPF in packs of \
                which the first is large",
        text: Store::Cache,
        data: Store::Pages,
        bpf: Store::Blocks,
        kprobe: Store::Slots,
        ftrace: Store::Cache,
        large_blocks: 1,
    },
    PolicyRow {
        key: "linux without a cache",
        name: "linux",
        about: "every kind of a module in pages of its own; BPF in packs of 2M mapped in small pages; no cache of large \
                blocks on this machine",
        text: Store::Pages,
        data: Store::Pages,
        bpf: Store::Blocks,
        kprobe: Store::Slots,
        ftrace: Store::Pages,
        large_blocks: 0,
    },
    PolicyRow {
        key: "linux without packs",
        name: "linux",
        about: "every kind of a module, and every BPF program, in pages of its own; neither packs nor a cache of large \
                blocks on this machine",
        text: Store::Pages,
        data: Store::Pages,
        bpf: Store::Pages,
        kprobe: Store::Slots,
        ftrace: Store::Pages,
        large_blocks: 0,
    },
];
