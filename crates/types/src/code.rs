//! What those who patch code know of a machine: instructions as data, when a store to live code is seen whole, and
//! which cache lines to maintain.

use crate::{Extent, PowerOfTwo, Sequence};

/// Instructions of a machine, and the rules for putting them into code. Nothing here is code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Code {
    /// A direct call. `None` where direct calls go through linker stubs only.
    pub call: Option<Sequence>,
    /// A direct jump.
    pub jump: Option<Sequence>,
    /// Jumps that reach further, as an entry between a direct branch and its target; the shortest first.
    pub veneers: &'static [Sequence],
    /// What a veneer's start is a multiple of.
    pub veneer_alignment: PowerOfTwo,
    /// Instructions that do nothing, by length, the shortest first.
    pub nops: &'static [&'static [u8]],
    /// The instruction that raises a breakpoint exception.
    pub breakpoint: &'static [u8],
    /// How live code changes.
    pub patch: PatchRule,
    /// How instruction fetch learns of new bytes.
    pub cache: CacheRule,
}

/// How code changes that may be executed meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PatchRule {
    /// What the start of a patched instruction is a multiple of.
    pub alignment: PowerOfTwo,
    /// An aligned store of this many bytes or fewer is seen whole by instruction fetch: the old bytes or the new.
    pub atomic: PowerOfTwo,
    /// What to do with more bytes.
    pub longer: LongPatch,
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
    /// How other processors learn.
    pub others: Others,
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

impl Code {
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
    /// Whether `len` bytes at `site` change by one store.
    #[must_use]
    pub const fn is_atomic(&self, site: u64, len: u64) -> bool {
        let size = self.atomic.bytes();
        len > 0 && len <= size && site % size + len <= size
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
    fn a_store_is_seen_whole_within_its_size_only() {
        let rule = PatchRule {
            alignment: PowerOfTwo::from_log2(0),
            atomic: PowerOfTwo::from_log2(3),
            longer: LongPatch::BreakpointFirst,
        };
        assert!(rule.is_atomic(0x1003, 5) && !rule.is_atomic(0x1004, 5) && !rule.is_atomic(0x1000, 9));
        assert!(!rule.is_atomic(0x1000, 0));
    }
}
