//! Everything a table says about one kind of memory.

use crate::{Extent, Kind, PageSize, PowerOfTwo, Protection};

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
    /// protections promised elsewhere holds. Only [`Table::legacy`](crate::Table::legacy) accepts such a row.
    pub is_writable_and_executable: bool,
    /// Bytes that every allocation has before its entry point, a multiple of 16: readable like the rest and written by
    /// whoever has the handle. For schemes that keep something there, such as the hash of a type. 0 for none.
    pub lead: u16,
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

    /// Makes content arrive by stores into pages of its own, whose rights change when it is published.
    pub(crate) fn flip(&mut self, page: PageSize) {
        self.fill = Fill::Flip;
        self.granularities = [Some(page), None, None, None];
        self.growth = Growth::Whole;
        (self.alignment, self.quantum) = (self.alignment.max(page), page);
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

/// One row of a [`Table`](crate::Table).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Row {
    /// The kind has an allocator of its own.
    Own(Descriptor),
    /// The kind lives in the blocks of another (`mapto` in the original proposal), with its own alignment and quantum.
    Shares {
        /// The other kind, whose row is [`Row::Own`].
        with: Kind,
        /// What every start is a multiple of.
        alignment: PowerOfTwo,
        /// What every length is rounded up to.
        quantum: PowerOfTwo,
    },
}
