//! Everything a table says about one kind of memory.

use crate::{Extent, KindSet, PageSize, PowerOfTwo, Protection, Trap};

/// Most windows a descriptor can name.
pub const MAX_WINDOWS: usize = 3;

/// Most granularities a descriptor can name.
pub const MAX_GRANULARITIES: usize = 4;

/// The row of a kind that has an allocator of its own.
///
/// If the granularity exceeds the quantum, free space in an already mapped block is reused; if they are equal, each
/// allocation gets fresh pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[doc(alias = "execmem_range")]
#[doc(alias = "mod_alloc_type")]
pub struct Descriptor {
    /// Where it may live, best first: the near window, then far ones, from where direct branches to the anchor need
    /// veneers. `None` only after the last.
    pub windows: [Option<Extent>; MAX_WINDOWS],
    /// Which end of a window is used first.
    pub placement: Placement,
    /// Sizes of the blocks to map, best first, largest first. `None` only after the last.
    pub granularities: [Option<PageSize>; MAX_GRANULARITIES],
    /// How the memory of a window grows.
    pub growth: Growth,
    /// What every start is a multiple of.
    pub alignment: PowerOfTwo,
    /// What every length is rounded up to.
    pub quantum: PowerOfTwo,
    /// The rights of published (and, with [`Seal`], sealed) memory.
    pub protection: Protection,
    /// How content gets in.
    pub fill: Fill,
    /// What freed and unused memory holds.
    pub unused: Unused,
    /// Whether and how it becomes read-only after initialisation.
    pub seal: Seal,
    /// Its code calls the anchor directly, so the first window must be within branch reach of it.
    pub is_anchored: bool,
    /// It has KASAN shadow memory: blocks are aligned so that their shadow is whole pages, and the backend is told.
    pub is_shadowed: bool,
    /// No other kind may share its blocks.
    pub is_exclusive: bool,
    /// **Legacy.** The memory is writable and executable at the same time and at the same address, and none of the
    /// protections promised elsewhere holds. Only [`Plan::legacy`](crate::Plan::legacy) accepts such a row.
    pub is_writable_and_executable: bool,
    /// Bytes that every allocation has before its entry point, a multiple of 16: readable like the rest and written by
    /// the holder of the handle. For schemes that keep something there, such as the hash of a type. 0 for none.
    pub lead: u16,
}

/// Rows to begin with, for struct update: `Descriptor { quantum: LINE, ..Descriptor::code(WINDOW, &PAGES) }`.
impl Descriptor {
    /// Code in one window, in quanta of 16 bytes, that arrives through another mapping and may call the anchor directly.
    /// `pages` are the sizes of blocks, the largest first; of more than four the first count.
    #[must_use]
    pub const fn code(window: Extent, pages: &[PageSize]) -> Self {
        let mut granularities = [None; MAX_GRANULARITIES];
        let mut index = 0;
        while index < pages.len() && index < MAX_GRANULARITIES {
            granularities[index] = Some(pages[index]);
            index += 1;
        }
        let quantum = PowerOfTwo::from_log2(4);
        Descriptor {
            windows: [Some(window), None, None],
            placement: Placement::BottomUp,
            granularities,
            growth: Growth::Whole,
            alignment: quantum,
            quantum,
            protection: Protection::ReadExecute,
            fill: Fill::Poke,
            unused: Unused::Trap,
            seal: Seal::Never,
            is_anchored: true,
            is_shadowed: false,
            is_exclusive: false,
            is_writable_and_executable: false,
            lead: 0,
        }
    }

    /// Constants likewise, from the other end of the window.
    #[must_use]
    pub const fn constants(window: Extent, pages: &[PageSize]) -> Self {
        Descriptor {
            placement: Placement::TopDown,
            protection: Protection::ReadOnly,
            unused: Unused::Zero,
            is_anchored: false,
            ..Self::code(window, pages)
        }
    }

    /// Writable data likewise.
    #[must_use]
    pub const fn data(window: Extent, pages: &[PageSize]) -> Self {
        Descriptor { protection: Protection::ReadWrite, fill: Fill::Direct, ..Self::constants(window, pages) }
    }

    /// Data likewise that is sealed block by block.
    #[must_use]
    pub const fn sealed_after_init(window: Extent, pages: &[PageSize]) -> Self {
        Descriptor { fill: Fill::Direct, seal: Seal::Block, ..Self::constants(window, pages) }
    }

    /// The same in other windows, best first.
    #[must_use]
    pub const fn with_windows(self, windows: [Option<Extent>; MAX_WINDOWS]) -> Self {
        Descriptor { windows, ..self }
    }

    /// The same with starts at multiples of `alignment`, and lengths rounded up to `quantum`.
    #[must_use]
    pub const fn with_units(self, alignment: PowerOfTwo, quantum: PowerOfTwo) -> Self {
        Descriptor { alignment, quantum, ..self }
    }

    /// The same with content that arrives by stores into pages of its own, whose rights change when it is published.
    #[must_use]
    pub fn flipped(self, page: PageSize) -> Self {
        Descriptor {
            fill: Fill::Flip,
            granularities: [Some(page), None, None, None],
            growth: Growth::Small,
            alignment: self.alignment.max(page),
            quantum: page,
            ..self
        }
    }
}

impl Descriptor {
    /// The windows, best first.
    pub fn windows(&self) -> impl Iterator<Item = Extent> + '_ {
        self.windows.iter().flatten().copied()
    }

    /// The granularities, best first.
    pub fn granularities(&self) -> impl Iterator<Item = PageSize> + '_ {
        self.granularities.iter().flatten().copied()
    }
}

/// Which end of a window is used first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placement {
    /// The lowest addresses.
    BottomUp,
    /// The highest addresses.
    TopDown,
}

/// How the memory of a window grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Growth {
    /// By whole blocks of the first granularity that can be had.
    Whole,
    /// By blocks of the first granularity as long as they are full; the last is filled up with pages of the last
    /// granularity and becomes one large leaf when complete. Fewer bytes mapped, more entries.
    Tail,
    /// By pages of the last granularity that become one large leaf when a block is complete, as by tail; but each step is an
    /// eighth of what is mapped at least, so that the steps are few. Loads that need whole large leaves get them at once. With
    /// one granularity, by blocks of more and more pages. A backend that cannot turn small leaves into a large one, or grows
    /// blocks by itself, gets whole blocks.
    Small,
}

impl Growth {
    /// Every value, and what tables and reports call it.
    pub const ALL: [(Self, &'static str); 3] =
        [(Growth::Whole, "whole"), (Growth::Tail, "tail"), (Growth::Small, "small")];

    /// What tables and reports call it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        Growth::ALL[self as usize].1
    }
}

/// How content gets into memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fill {
    /// By stores at its address, which is writable.
    Direct,
    /// Through another mapping, while it has its final rights at its address.
    Poke,
    /// By stores at its address, which is writable and not executable until publication flips its rights.
    Flip,
}

/// What freed and unused memory holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unused {
    /// The machine's trap instruction.
    Trap,
    /// Zero.
    Zero,
    /// A pattern of the user's. Only memory that is never executed may have one.
    Pattern(Trap),
}

/// Whether and how memory becomes read-only after initialisation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seal {
    /// It does not.
    Never,
    /// The pages of the allocation, which it shares with nothing.
    Pages,
    /// The whole block, once everything in it is sealed. The block is writable again while an allocation in it is
    /// initialised. Keeps large leaves whole.
    Block,
}

/// One row of a [`Table`](crate::Table). Other kinds are numbers here: what makes rows takes kinds of one set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Row {
    /// The kind has an allocator of its own.
    Own(Descriptor),
    /// The kind lives in the blocks of another (`mapto` in the original proposal), with its own alignment and quantum.
    #[non_exhaustive]
    Shares {
        /// [Number](crate::KindSet::number) of the other kind, whose row is [`Row::Own`].
        with: u8,
        /// What every start is a multiple of.
        alignment: PowerOfTwo,
        /// What every length is rounded up to.
        quantum: PowerOfTwo,
    },
}

impl Row {
    /// In the blocks of another kind of the set, with an alignment and a quantum of its own.
    #[must_use]
    pub fn sharing<S: KindSet>(with: S, alignment: PowerOfTwo, quantum: PowerOfTwo) -> Self {
        Row::Shares { with: with.number(), alignment, quantum }
    }

    pub(crate) const fn shares(with: u8, alignment: PowerOfTwo, quantum: PowerOfTwo) -> Self {
        Row::Shares { with, alignment, quantum }
    }
}
