//! Instruction sets as data: what stands where no code is, branches and how far they reach, when a store to live code is
//! seen whole, which cache lines to maintain.

use crate::{Extent, Isa, PowerOfTwo, Reach, Sequence, Trap};

/// Instructions that machines execute, and the rules for putting them into code: the one place where these facts stand.
/// Nothing here is code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InstructionSet {
    /// Which one it is, for callers that have code of their own for some.
    pub isa: Isa,
    /// Width of an address: 32 or 64.
    pub address_bits: u32,
    /// The instruction that stands where no code is.
    pub trap: Trap,
    /// Reach of a direct call.
    pub reach: Reach,
    /// A direct call. `None` where direct calls go through linker stubs only.
    pub call: Option<Sequence>,
    /// A direct jump.
    pub jump: Option<Sequence>,
    /// What stands at a site that is patched while it is executed. `None` where calls and jumps are no such thing.
    pub site: Option<Site>,
    /// Jumps that reach further, as an entry between a direct branch and its target; the shortest first.
    pub veneers: &'static [Sequence],
    /// What a veneer's start is a multiple of.
    pub veneer_alignment: PowerOfTwo,
    /// Instructions that do nothing, by length, the shortest first.
    pub nops: &'static [&'static [u8]],
    /// The instruction that raises a breakpoint exception.
    pub breakpoint: &'static [u8],
    /// The instruction at which an indirect branch may end where processors check that; it does nothing elsewhere. Empty if
    /// there is none.
    pub landing_pad: &'static [u8],
    /// How live code changes.
    pub patch: PatchRule,
    /// How instruction fetch learns of new bytes.
    pub cache: CacheRule,
    /// What some of the processors do wrong, and code must not contain.
    pub errata: &'static [Erratum],
}

/// Instructions of one length that replace each other at a site.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Site {
    /// The one that does nothing.
    pub nop: &'static [u8],
    /// A call.
    pub call: Sequence,
    /// A jump.
    pub jump: Sequence,
}

/// A defect of some processors that loaders and compilers work around.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Erratum {
    /// ADRP in the last two words of a page may compute a wrong address (Cortex-A53 erratum 843419).
    AdrpAtPageEnd,
}

/// How code changes that may be executed meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PatchRule {
    /// Stores that instruction fetch sees whole, the old bytes or the new, the largest first.
    pub whole: &'static [Whole],
    /// What to do with more bytes.
    pub longer: LongPatch,
}

/// A store that instruction fetch sees whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Whole {
    /// Bytes, at a multiple of their number. Fewer are whole as well.
    pub bytes: PowerOfTwo,
    /// Only on processors with these features.
    pub needs: Features,
}

/// What some processors of an architecture promise and others do not: a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Features(u32);

impl Features {
    /// None.
    pub const NONE: Self = Features(0);
    /// RISC-V: fetches of aligned powers of two up to four bytes are whole (Ziccif, part of the profile RVA20).
    pub const ZICCIF: Self = Features(1);
    /// x86: fetch sees aligned stores of up to eight bytes whole (AMD APM volume 2, 7.6.1; Intel promises no such thing).
    pub const FETCH_8: Self = Features(2);

    /// Those of both.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Features(self.0 | other.0)
    }

    /// Whether all of `others` are among them.
    #[must_use]
    pub const fn contain(self, others: Self) -> bool {
        self.0 & others.0 == others.0
    }
}

/// How more bytes change than one store can.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LongPatch {
    /// A breakpoint over the first byte, then the rest, then the first byte; every processor is serialised after each
    /// of the three steps.
    BreakpointFirst,
    /// Every other processor stands still outside the code.
    StopOthers,
}

/// How instruction fetch learns of bytes that were stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CacheRule {
    /// Data cache lines are written back one by one, in steps of this size. `None` where fetch sees the data cache.
    pub data_line: Option<PowerOfTwo>,
    /// Instruction cache lines are invalidated one by one, in steps of this size. `None` where there is no such
    /// operation, or only one for all of the cache.
    pub instruction_line: Option<PowerOfTwo>,
    /// How other processors learn of bytes that replace what they may have fetched.
    pub others: Others,
    /// How they learn of bytes where none of them executed anything before.
    pub fresh: Others,
}

/// How other processors learn that bytes changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Others {
    /// By themselves.
    Coherent,
    /// The operation on a line reaches all of them.
    Broadcast,
    /// Each has to do something itself, when interrupted.
    Interrupt,
}

impl InstructionSet {
    /// Those of a processor of which nothing is known but the width of an address: zero where no code is, no branch that
    /// reaches anything, and caches that are coherent by themselves.
    #[must_use]
    pub const fn unknown(address_bits: u32) -> Self {
        let one = PowerOfTwo::from_log2(0);
        InstructionSet {
            isa: Isa::Other,
            address_bits,
            trap: Trap::ZERO,
            reach: Reach::Relative { base: 0, min: 0, max: 0 },
            call: None,
            jump: None,
            site: None,
            veneers: &[],
            veneer_alignment: one,
            nops: &[],
            breakpoint: &[],
            landing_pad: &[],
            patch: PatchRule::BYTES,
            cache: CacheRule {
                data_line: None,
                instruction_line: None,
                others: Others::Coherent,
                fresh: Others::Coherent,
            },
            errata: &[],
        }
    }

    /// Fills `bytes` with instructions that do nothing, the longest first. `None` if the length is no sum of theirs.
    #[must_use]
    pub fn pad(&self, bytes: &mut [u8]) -> Option<()> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let nop = self.nops.iter().rev().find(|nop| nop.len() <= rest.len())?;
            let (first, after) = rest.split_at_mut(nop.len());
            first.copy_from_slice(nop);
            rest = after;
        }
        Some(())
    }

    /// The shortest veneer at `site` that leads to `target`.
    #[must_use]
    pub fn veneer(&self, site: u64, target: u64) -> Option<crate::Encoded> {
        self.veneers.iter().find_map(|veneer| veneer.encode(site, target))
    }

    /// Bytes that any veneer takes, a multiple of their alignment. `None` if there are none.
    #[must_use]
    pub fn veneer_bytes(&self) -> Option<u64> {
        let longest = self.veneers.iter().map(Sequence::len).max()?;
        self.veneer_alignment.round_up(longest)
    }
}

impl PatchRule {
    /// A rule where no store of more than a byte is known to be seen whole.
    pub const BYTES: Self = PatchRule {
        whole: &[Whole { bytes: PowerOfTwo::from_log2(0), needs: Features::NONE }],
        longer: LongPatch::StopOthers,
    };

    /// How many aligned bytes a processor with some features fetches whole: 0 if it promises nothing.
    #[must_use]
    pub const fn whole_bytes(&self, features: Features) -> u64 {
        let mut index = 0;
        while index < self.whole.len() {
            if features.contain(self.whole[index].needs) {
                return self.whole[index].bytes.bytes();
            }
            index += 1;
        }
        0
    }
}

impl CacheRule {
    /// The first addresses of the lines that an extent touches.
    pub fn lines(extent: Extent, line: PowerOfTwo) -> impl Iterator<Item = u64> {
        let first = line.round_down(extent.start());
        let count = (line.round_down(extent.last()) - first) / line.bytes();
        (0..=count).map(move |index| first + index * line.bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_an_extent_is_visited_once() {
        let lines = |start, len, log2| {
            let extent = Extent::new(start, len).expect("extent");
            CacheRule::lines(extent, PowerOfTwo::from_log2(log2))
                .fold((0, 0, 0), |(count, first, _), line| (count + 1, if count == 0 { line } else { first }, line))
        };
        assert_eq!(lines(0x1000, 64, 6), (1, 0x1000, 0x1000));
        assert_eq!(lines(0x103f, 2, 6), (2, 0x1000, 0x1040));
        assert_eq!(lines(u64::MAX, 1, 4), (1, u64::MAX - 15, u64::MAX - 15), "the last line of all");
    }

    #[test]
    fn the_first_promise_that_the_processor_makes_holds() {
        const EIGHT: Whole = Whole { bytes: PowerOfTwo::from_log2(3), needs: Features::FETCH_8 };
        const WHOLE: &[Whole] = &[EIGHT, PatchRule::BYTES.whole[0]];
        let rule = PatchRule { whole: WHOLE, longer: LongPatch::BreakpointFirst };
        assert_eq!([Features::NONE, Features::ZICCIF].map(|features| rule.whole_bytes(features)), [1, 1]);
        assert_eq!(rule.whole_bytes(Features::FETCH_8.and(Features::ZICCIF)), 8);
        assert_eq!(PatchRule { whole: &[], ..rule }.whole_bytes(Features::NONE), 0);
    }
}
