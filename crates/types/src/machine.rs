//! What tables and engine know of an architecture: numbers only.

use crate::{Extent, Features, InstructionSet, PageSize, PowerOfTwo, Reach, Trap};

/// Most leaf sizes a machine can have.
pub const MAX_LEAVES: usize = 8;

/// Facts about a machine. Nothing here is code, so every machine can be simulated on every other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Machine {
    /// Linux's name of the architecture, with the variant where one matters. For reports: nothing is chosen by it.
    pub name: &'static str,
    /// The instructions that it executes.
    pub instructions: &'static InstructionSet,
    /// What its processors promise beyond the instruction set.
    pub features: Features,
    /// Sizes of leaf entries and of entry runs treated as one, smallest first. `None` only after the last.
    pub leaves: [Option<PageSize>; MAX_LEAVES],
    /// The kernel image, or whatever code calls and is called directly. `None` where nothing is.
    pub anchor: Option<Extent>,
    /// What cannot be decided page by page.
    pub limits: Limits,
}

/// What a machine, or a way to build its kernel, cannot decide page by page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Execution is allowed or forbidden for segments of this size as a whole: code and everything else lie in
    /// different segments. `None` where each page has its own right.
    pub executable_segment: Option<PowerOfTwo>,
    /// Base-two logarithm of the bytes of memory that one byte of KASAN shadow describes.
    pub shadow_scale_log2: u8,
}

impl Limits {
    /// Rights page by page, and generic KASAN: one byte of shadow for eight of memory.
    pub const NONE: Limits = Limits { executable_segment: None, shadow_scale_log2: 3 };
}

impl Machine {
    /// A machine without an anchor, with rights page by page, that promises no more than its instruction set. `leaves` are the
    /// sizes of its leaf entries, smallest first; of more than eight the first count.
    #[must_use]
    pub const fn new(name: &'static str, instructions: &'static InstructionSet, leaves: &[PageSize]) -> Self {
        let mut padded = [None; MAX_LEAVES];
        let mut index = 0;
        while index < leaves.len() && index < MAX_LEAVES {
            padded[index] = Some(leaves[index]);
            index += 1;
        }
        Machine { name, instructions, features: Features::NONE, leaves: padded, anchor: None, limits: Limits::NONE }
    }

    /// The instruction that stands where no code is.
    #[must_use]
    #[inline]
    pub const fn trap(&self) -> Trap {
        self.instructions.trap
    }

    /// Reach of a direct call.
    #[must_use]
    #[inline]
    pub const fn reach(&self) -> Reach {
        self.instructions.reach
    }

    /// Width of an address: 32 or 64.
    #[must_use]
    pub const fn address_bits(&self) -> u32 {
        self.instructions.address_bits
    }

    /// Size of the smallest leaf.
    #[must_use]
    pub const fn page(&self) -> PageSize {
        match self.leaves[0] {
            Some(page) => page,
            None => panic!("a machine has a page size"),
        }
    }

    /// The leaf sizes, smallest first.
    pub fn leaves(&self) -> impl Iterator<Item = PageSize> + '_ {
        self.leaves.iter().flatten().copied()
    }

    /// Whether any instruction in one extent can branch directly to any in the other, both ways. Instructions lie at
    /// multiples of the trap's length.
    #[must_use]
    pub const fn connects(&self, a: Extent, b: Extent) -> bool {
        // Bytes of a branch, and of what must follow it, behind its first unit.
        let rest = match self.instructions.reach {
            Reach::Relative { base, .. } if self.instructions.trap.unit() == 1 => (base as u64).saturating_sub(1),
            Reach::Relative { .. } => 0,
            Reach::Segment { base, .. } => base as u64,
        };
        let (a, b) = (self.instructions(a), self.instructions(b));
        self.instructions.reach.spans(a, b, rest) && self.instructions.reach.spans(b, a, rest)
    }

    /// An extent up to the start of its last instruction.
    const fn instructions(&self, extent: Extent) -> Extent {
        let len = extent.len().saturating_sub(self.instructions.trap.unit() - 1);
        match Extent::new(extent.start(), len) {
            Some(starts) => starts,
            None => extent,
        }
    }

    /// How many aligned bytes one store replaces so that a processor executing them sees the old or the new.
    #[must_use]
    pub const fn whole_bytes(&self) -> u64 {
        self.instructions.patch.whole_bytes(self.features)
    }

    /// What blocks with shadow memory are multiples of: what a page of shadow describes.
    #[must_use]
    pub const fn shadow_unit(&self) -> PowerOfTwo {
        self.page().times_two_to(self.limits.shadow_scale_log2)
    }

    /// All addresses.
    #[must_use]
    pub(crate) const fn last_address(&self) -> u64 {
        if self.instructions.address_bits >= 64 { u64::MAX } else { (1 << self.instructions.address_bits) - 1 }
    }
}
