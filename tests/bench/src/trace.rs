//! Traces of installing and freeing functions: the same sequence of sizes and choices for every peer.

mod load;
mod run;
mod t1;
mod t2;
mod t3;
mod t4;
mod t5;
mod t6;

use execmem::Kind;

pub(crate) use load::Load;
pub(crate) use run::{count_system_calls, measure, run_bare};

use crate::peers;
use crate::random::Random;

/// Which pairs of an installation and a removal are timed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Timed {
    /// Each step frees a random function and installs another in its place.
    Churn,
    /// The same, but another thread frees.
    Collected,
    /// Everything is installed, then everything freed in random order.
    FillAndEmpty,
}

/// A trace.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    /// What execmem is asked for.
    pub(crate) kind: Kind,
    pub(crate) threads: usize,
    /// Live functions of a thread.
    pub(crate) live: usize,
    /// Replacements by a thread.
    pub(crate) steps: usize,
    pub(crate) timed: Timed,
    /// Draws the length of a function in bytes.
    pub(crate) size: fn(&mut Random) -> usize,
    /// No function is longer.
    pub(crate) max_bytes: usize,
}

impl Plan {
    /// All traces.
    pub(crate) fn all() -> Vec<Plan> {
        let more = t4::all_processors();
        let fixed = [t1::PLAN, t2::PLAN, t3::PLAN, t4::PLAN, t4::ONE_THREAD, t5::PLAN, t6::PLAN];
        fixed.into_iter().chain(more).collect()
    }

    pub(crate) fn named(name: &str) -> Option<Plan> {
        Self::all().into_iter().find(|plan| plan.name == name)
    }

    /// The peers.
    pub(crate) fn peers(&self) -> &'static [&'static str] {
        match self.name {
            name if name == t6::PLAN.name => peers::BY_ADDRESS,
            _ if self.threads > 1 => peers::THREADED,
            _ => peers::NAMES,
        }
    }

    /// The same, small.
    pub(crate) const fn quick(mut self) -> Self {
        self.live /= 20;
        self.steps /= 50;
        self
    }

    /// Timed pairs of an installation and a removal.
    pub(crate) const fn pairs(&self) -> usize {
        let of_a_thread = match self.timed {
            Timed::Churn | Timed::Collected => self.steps,
            Timed::FillAndEmpty => self.live,
        };
        self.threads * of_a_thread
    }
}
