//! The audit: recomputes everything from scratch and compares.

use thiserror::Error;

use crate::Arena;
use crate::arena::State;

/// What an [audit](Arena::audit) counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    /// Live ranges.
    pub live_ranges: usize,
    /// Length of all live ranges.
    pub live_len: u64,
    /// Ready ranges.
    pub ready_ranges: usize,
    /// Holes.
    pub holes: usize,
    /// Length of all holes and ready ranges.
    pub free_len: u64,
    /// Bytes of bookkeeping that have been written to, the ledger not counted.
    pub bookkeeping_used_bytes: usize,
    /// Bytes of bookkeeping secured, those for later frees included.
    pub bookkeeping_reserved_bytes: usize,
}

/// A broken invariant: a defect of the arena, never of its caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Violation {
    /// Live ranges and holes do not tile a span.
    #[error("I1: nothing, or more than one thing, lies at {at:#x}")]
    NotTiled {
        /// Where.
        at: u64,
    },
    /// Two holes touch.
    #[error("I2: the holes meeting at {at:#x} were not merged")]
    HolesTouch {
        /// Where.
        at: u64,
    },
    /// A count kept on the side disagrees with the ranges.
    #[error("I1: the counts kept disagree with the ranges found")]
    BadCount,
    /// The two indexes of the holes disagree.
    #[error("I2: the hole at {at:#x} is not listed the same by size and by address")]
    BadIndex {
        /// Where.
        at: u64,
    },
}

impl Arena {
    /// Checks every invariant by walking everything. Takes time proportional to what there is.
    ///
    /// # Errors
    ///
    /// The first [`Violation`] found.
    pub fn audit(&self) -> Result<Totals, Violation> {
        let position = |at: u32| u64::from(at) * self.quantum();
        let mut totals = Totals::default();
        let mut hole_end = None;
        for (range, state) in self.ranges() {
            let (at, len) = (position(range.start), position(range.end - range.start));
            match state {
                State::Live => {
                    totals.live_ranges += 1;
                    totals.live_len += len;
                }
                State::Ready => {
                    totals.ready_ranges += 1;
                    totals.free_len += len;
                }
                State::Hole if hole_end == Some(range.start) => return Err(Violation::HolesTouch { at }),
                State::Hole if !self.holes.is_listed(range.start) => return Err(Violation::BadIndex { at }),
                State::Hole => {
                    totals.holes += 1;
                    totals.free_len += len;
                    hole_end = Some(range.end);
                }
            }
        }
        if let Some(lost) = self.holes.ready().find(|ready| self.range_at(ready.start) != (ready.clone(), State::Ready))
        {
            return Err(Violation::NotTiled { at: position(lost.start) });
        }
        self.audit_counts(&totals)?;
        (totals.bookkeeping_used_bytes, totals.bookkeeping_reserved_bytes) = self.bookkeeping_bytes();
        Ok(totals)
    }

    /// Compares the counts kept on the side with what was found.
    fn audit_counts(&self, found: &Totals) -> Result<(), Violation> {
        let managed: u64 = self.spans().map(|run| run.end - run.start).sum();
        let kept = Totals {
            live_ranges: self.live_count(),
            live_len: self.live_len(),
            ready_ranges: self.holes.ready_count(),
            holes: self.holes.count(),
            free_len: self.free_len(),
            ..Totals::default()
        };
        if kept == *found && self.holes.listed() == found.holes && found.live_len + found.free_len == managed {
            Ok(())
        } else {
            Err(Violation::BadCount)
        }
    }
}
