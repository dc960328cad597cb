//! The benches: a trace, the peers, and how one of them is run in this process.

use anyhow::{Context as _, Result};

use crate::measure::Measures;
use crate::{compiled, lookup, peers, programs, ranges, small, trace};

/// Number of ranges of a quick run.
const QUICK_COUNT: usize = 1_000;

/// What is run.
#[derive(Debug, Clone, Copy)]
enum Subject {
    Code(trace::Plan),
    Ranges(ranges::Plan, usize),
    Lookup(trace::Plan),
    Compiled(compiled::Plan),
    Small(trace::Plan),
    Programs(usize),
}

/// A trace with its peers.
#[derive(Debug, Clone)]
pub(crate) struct Bench {
    pub(crate) name: String,
    pub(crate) about: &'static str,
    pub(crate) peers: &'static [&'static str],
    subject: Subject,
}

/// What a child process does with a bench.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Mode {
    /// Measures and prints the results.
    Measure,
    /// Runs between two marks for the counter of system calls.
    Count,
    /// Runs, for the counter of instructions.
    Bare,
}

impl Bench {
    /// All benches, small ones if `quick`.
    pub(crate) fn all(quick: bool) -> Vec<Bench> {
        let plan = |plan: trace::Plan| if quick { plan.quick() } else { plan };
        let code = trace::Plan::all().into_iter().map(plan).map(|plan| Bench {
            name: plan.name.to_owned(),
            about: plan.about,
            peers: plan.peers(),
            subject: Subject::Code(plan),
        });
        let counts = |plan: ranges::Plan| if quick { &[QUICK_COUNT] } else { plan.counts };
        let ranges =
            ranges::Plan::ALL.into_iter().flat_map(|plan| counts(plan).iter().map(move |count| (plan, *count)));
        let ranges = ranges.map(|(plan, count)| Bench {
            name: format!("{}/{count}", plan.name),
            about: plan.about,
            peers: plan.peers(),
            subject: Subject::Ranges(plan, count),
        });
        let lookup = trace::Plan::named("T2").map(plan).map(|plan| Bench {
            name: lookup::NAME.to_owned(),
            about: lookup::ABOUT,
            peers: lookup::PEERS,
            subject: Subject::Lookup(plan),
        });
        let compiled = compiled::Plan::ALL.map(|plan| if quick { plan.quick() } else { plan }).map(|plan| Bench {
            name: plan.name.to_owned(),
            about: plan.about,
            peers: plan.peers(),
            subject: Subject::Compiled(plan),
        });
        let small = if quick { small::QUICK_COUNTS } else { small::COUNTS }.iter().map(|count| Bench {
            name: format!("{}/{count}", small::NAME),
            about: small::ABOUT,
            peers: small::peers(*count),
            subject: Subject::Small(small::plan(*count)),
        });
        let programs = Bench {
            name: programs::NAME.to_owned(),
            about: programs::ABOUT,
            peers: programs::PEERS,
            subject: Subject::Programs(if quick { programs::QUICK_COUNT } else { programs::COUNT }),
        };
        code.into_iter().chain(ranges).chain(lookup).chain(compiled).chain(small).chain([programs]).collect()
    }

    /// The bench of a name.
    pub(crate) fn named(name: &str, quick: bool) -> Result<Bench> {
        Self::all(quick).into_iter().find(|bench| bench.name == name).with_context(|| format!("no bench {name}"))
    }

    /// Whether a request for `name` means it: the name, or its beginning up to a number or letter.
    pub(crate) fn is_meant_by(&self, name: &str) -> bool {
        self.name.to_ascii_uppercase().starts_with(&name.to_ascii_uppercase())
    }

    /// Whether code is installed that stays, so that system calls count.
    pub(crate) const fn installs_code(&self) -> bool {
        match self.subject {
            Subject::Code(_) => true,
            Subject::Compiled(plan) => plan.stays,
            Subject::Ranges(..) | Subject::Lookup(_) | Subject::Small(_) | Subject::Programs(_) => false,
        }
    }

    /// Environment of a process whose system calls are counted: the heap of the compiler grows in one step, so that the
    /// calls that remain are for code.
    pub(crate) const fn count_environment(&self) -> &'static [(&'static str, &'static str)] {
        match self.subject {
            Subject::Compiled(_) => {
                &[("MALLOC_TOP_PAD_", "268435456"), ("MALLOC_TRIM_THRESHOLD_", "1073741824"), ("MALLOC_MMAP_MAX_", "0")]
            }
            Subject::Code(_) | Subject::Ranges(..) | Subject::Lookup(_) | Subject::Small(_) | Subject::Programs(_) => {
                &[]
            }
        }
    }

    /// Timed pairs if each thread makes `steps`.
    pub(crate) fn with_steps(mut self, steps: usize) -> Self {
        if let Subject::Code(plan) = &mut self.subject {
            plan.steps = steps;
        }
        self
    }

    /// Runs it for one peer in this process.
    pub(crate) fn run(&self, peer: &str, mode: Mode, steps: usize) -> Result<Option<Measures>> {
        use programs::measure as programs;
        use small::measure as small;
        use trace::{count_system_calls, measure, run_bare};
        let unknown = || format!("no peer {peer} in {}", self.name);
        match (&self.subject, mode) {
            (Subject::Code(plan), Mode::Measure) => {
                peers::with_peer!(peer, measure(plan)).with_context(unknown)?.map(Some)
            }
            (Subject::Code(plan), Mode::Count) => {
                peers::with_peer!(peer, count_system_calls(plan)).with_context(unknown)??;
                Ok(None)
            }
            (Subject::Code(plan), Mode::Bare) => {
                peers::with_peer!(peer, run_bare(plan)).with_context(unknown)??;
                Ok(None)
            }
            (Subject::Ranges(plan, count), Mode::Bare) => plan.run_bare(peer, *count, 2 * steps).map(|()| None),
            (Subject::Ranges(plan, count), _) => plan.measure(peer, *count).map(Some),
            (Subject::Lookup(plan), _) => lookup::measure(peer, plan).map(Some),
            (Subject::Programs(count), _) => peers::with_peer!(peer, programs(*count)).with_context(unknown)?.map(Some),
            (Subject::Small(plan), _) => peers::with_peer!(peer, small(plan)).with_context(unknown)?.map(Some),
            (Subject::Compiled(plan), mode) => plan.run(peer, mode),
        }
    }
}
