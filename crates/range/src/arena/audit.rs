//! The audit: recomputes everything from scratch and compares.

use thiserror::Error;

use super::{Arena, State};
use crate::LiveMap;
use crate::live_map::MAX_QUANTA;

/// A broken invariant: a defect of the arena, never of its caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Violation {
    /// Live ranges and holes do not tile a span.
    #[error("I1: nothing, or more than one thing, lies at {0:#x}")]
    NotTiled(u64),
    /// Two holes of one state touch.
    #[error("I2: the holes that meet at {0:#x} were not merged")]
    HolesTouch(u64),
    /// What is counted differs from what was found.
    #[error("I1: the counts kept disagree with the ranges found")]
    BadCount,
    /// Not all holes are listed by their size and state.
    #[error("I2: a hole is on no list, on two, or on a wrong one")]
    BadList,
}

impl Arena {
    /// Checks every invariant by walking everything. Takes time proportional to what there is.
    ///
    /// # Errors
    ///
    /// The first [`Violation`] found.
    pub fn audit(&self, map: &LiveMap) -> Result<(), Violation> {
        let (mut end, mut before) = (None, State::Live);
        let (mut live, mut holes, mut runs, mut quanta) = ((0, 0), 0, 0, 0);
        for start in self.part(map).starts_in(0..MAX_QUANTA) {
            let at = self.position(start.at);
            let Some((range, state)) = self.range_at(&start) else {
                // A mark says where a run ends.
                if end.replace(start.at) == Some(start.at) { continue } else { return Err(Violation::NotTiled(at)) }
            };
            let (is_hole, touches) = (state != State::Live, end == Some(range.start));
            if end.is_some_and(|end| range.start < end) {
                return Err(Violation::NotTiled(at));
            }
            if is_hole && before == state && touches {
                return Err(Violation::HolesTouch(at));
            }
            let len = u64::from(range.end - range.start);
            (runs, quanta) = (runs + usize::from(!touches), quanta + len);
            if is_hole {
                holes += 1
            } else {
                live = (live.0 + 1, live.1 + len)
            }
            (end, before) = (Some(range.end), state);
        }
        if (live, runs, quanta) != ((self.live_count, self.live_quanta), self.runs, self.managed_quanta) {
            return Err(Violation::BadCount);
        }
        let are_listed = holes == self.holes.count() && holes == self.holes.listed();
        if are_listed { Ok(()) } else { Err(Violation::BadList) }
    }
}
