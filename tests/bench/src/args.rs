//! The command line.

use clap::{Args as ClapArgs, Parser, Subcommand};

use crate::bench::Mode;

/// Measures execmem beside other allocators on the same traces.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask bench", args_conflicts_with_subcommands = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) child: Option<Task>,
    /// Traces to run: T1 to T6, R1 to R5, LOOKUP, C1, C2, SMALL, PROGRAMS, or the beginning of their names; all if none is given.
    pub(crate) traces: Vec<String>,
    /// Prints JSON.
    #[arg(long)]
    pub(crate) json: bool,
    /// Rounds. Every peer runs once a round, in a process of its own; the median counts.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) rounds: u32,
    /// One round of small traces: everything runs and every answer is checked, but the numbers say little.
    #[arg(long)]
    pub(crate) quick: bool,
    /// Writes the results and the facts of the machine to tests/bench/record; of the other traces, what is there stays.
    #[arg(long)]
    pub(crate) record: bool,
    /// Counts instructions of execmem and its floor with valgrind instead.
    #[arg(long)]
    pub(crate) callgrind: bool,
    /// Replaces programs on two threads for that many minutes instead, and checks what stays mapped.
    #[arg(long, value_name = "MINUTES")]
    pub(crate) soak: Option<f64>,
}

/// What is not a trace, and what the processes do that are started for single measurements.
#[derive(Debug, Subcommand)]
pub(crate) enum Task {
    /// What translations of code cost: one function a page, packed in small pages, packed in large ones.
    Itlb(Itlb),
    /// What threads would wait for on more processors than there are: a simulation.
    Threads(Threads),
    /// One run of one peer.
    #[command(hide = true)]
    Child {
        bench: String,
        peer: String,
        #[arg(value_enum)]
        mode: Mode,
        #[arg(long)]
        quick: bool,
        /// Replacements, where they can be chosen.
        #[arg(long)]
        steps: Option<usize>,
    },
}

/// How threads are simulated.
#[derive(Debug, ClapArgs)]
pub(crate) struct Threads {
    /// Replacements of a thread.
    #[arg(long, default_value_t = 10_000)]
    pub(crate) steps: usize,
}

/// How the benchmark of translations is run.
#[derive(Debug, ClapArgs)]
pub(crate) struct Itlb {
    /// Prints JSON.
    #[arg(long)]
    pub(crate) json: bool,
    /// Rounds. Every layout runs once a round; a ratio is the median of the ratios within a round.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) rounds: u32,
    /// Little text and few rounds.
    #[arg(long)]
    pub(crate) quick: bool,
    /// The processor whose translation caches predict; without it the one this runs on, if it is known.
    #[arg(long, value_name = "NAME")]
    pub(crate) processor: Option<String>,
    /// Writes the results and the facts of the machine to tests/bench/record.
    #[arg(long)]
    pub(crate) record: bool,
}
