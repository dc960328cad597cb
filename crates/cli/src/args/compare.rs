//! Options of `compare` and `report`: what is loaded, on which machine, by which policies.

use std::path::PathBuf;

use clap::builder::PossibleValuesParser;
use clap::{Args as ClapArgs, ValueEnum};
use execmem_sim::policy::Release;
use execmem_types::NamedTable;

use super::inputs::InputOptions;
use crate::arch;
use crate::compare::machine::MACHINES;
use crate::compare::{OURS, names};
use crate::release::parse_release;

/// The release that is assumed where nothing says one.
pub(crate) const DEFAULT_RELEASE: Release = (6, 1);

pub(crate) const AFTER_HELP: &str = "What would my machine gain?
  execmem survey --out machine.json && execmem compare --from machine.json --html answer.html
  execmem compare --proc-modules /proc/modules --modules /lib/modules/$(uname -r) --kernel $(uname -r)
  execmem compare --perf-map /tmp/perf-PID.map --maps /proc/PID/maps

`execmem survey --help` says how each input is made.";

/// Whose modules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum SetChoice {
    Workstation,
    Server,
    Laptop,
}

impl SetChoice {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            SetChoice::Workstation => "workstation",
            SetChoice::Server => "server",
            SetChoice::Laptop => "laptop",
        }
    }
}

/// What is loaded, and on which machine.
#[derive(Debug, Clone, ClapArgs)]
pub(crate) struct LoadOptions {
    /// Modules that were measured, if none of your own are given
    #[arg(long, value_enum, default_value_t = SetChoice::Workstation, conflicts_with_all = ["inputs", "from"])]
    pub(crate) set: SetChoice,
    /// Release of Linux, as 6.1 or what `uname -r` prints: by whose rules modules are laid out. There are sets of 6.1 and
    /// 7.2 [default: what the survey says, or 6.1]
    #[arg(long, value_name = "RELEASE", value_parser = parse_release)]
    pub(crate) kernel: Option<Release>,
    /// The machine around the memory [default: one of the table's architecture]
    #[arg(long, value_name = "NAME", value_parser = PossibleValuesParser::new(MACHINES.iter().map(|machine| machine.0)))]
    pub(crate) machine: Option<String>,
    /// Table: page sizes and windows; `execmem tables` says more of each [default: that of the survey's machine, or x86]
    #[arg(long, value_name = "TABLE", value_parser = arch::value_parser(), hide_possible_values = true)]
    pub(crate) arch: Option<&'static NamedTable>,
    /// BPF programs of a measured mix to load after the modules [default: 1000 with a set, else 0]
    #[arg(long, value_name = "COUNT")]
    pub(crate) programs: Option<u32>,
    /// A survey, as `execmem survey` writes it
    #[arg(long, value_name = "FILE", conflicts_with = "inputs", help_heading = "Inputs of your own")]
    pub(crate) from: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) inputs: InputOptions,
}

#[derive(Debug, Clone, ClapArgs)]
pub(crate) struct CompareOptions {
    #[command(flatten)]
    pub(crate) load: LoadOptions,
    /// Policies, separated by commas [default: all that serve the machine]
    #[arg(long, value_delimiter = ',', value_name = "NAMES", value_parser = PossibleValuesParser::new(names()))]
    pub(crate) policies: Vec<String>,
    /// Modules and programs to replace by others once everything is loaded [default: 1000, and 0 with a trace or a process]
    #[arg(long, value_name = "COUNT")]
    pub(crate) churn: Option<u32>,
    /// Calls in each trace for the translation caches
    #[arg(long, default_value_t = 200_000, value_name = "COUNT")]
    pub(crate) calls: u64,
    /// Take memory from a cache of frames that the direct map does not show
    #[arg(long)]
    pub(crate) unmapped: bool,
    /// Large pages that can be had [default: as many as fit the memory]
    #[arg(long, value_name = "COUNT")]
    pub(crate) large_pages: Option<u64>,
    /// Use only so many MiB at the start of each window
    #[arg(long, value_name = "MIB", value_parser = clap::value_parser!(u64).range(4..=1 << 20))]
    pub(crate) window: Option<u64>,
    /// Loads under way at once: so many modules hold their initialisation before the first drops its own
    #[arg(long, default_value_t = 1, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) parallel: u32,
    /// Memory runs short after every so many loads and unloads: all that is kept for later goes back
    #[arg(long, value_name = "EVENTS", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) pressure: Option<u64>,
    /// Print JSON instead of tables; `execmem schema compare` says what is in it
    #[arg(long)]
    pub(crate) json: bool,
    /// Write a page to look at in a browser; `-` is standard output, instead of the tables
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct ReportOptions {
    #[command(flatten)]
    pub(crate) load: LoadOptions,
    /// The policy
    #[arg(long, default_value = OURS, value_name = "NAME", value_parser = PossibleValuesParser::new(names()))]
    pub(crate) policy: String,
    /// Write a page to look at in a browser
    #[arg(long, value_name = "FILE", required_unless_present_any = ["svg", "png"])]
    pub(crate) html: Option<PathBuf>,
    /// Write the map as a picture that can be scaled
    #[arg(long, value_name = "FILE")]
    pub(crate) svg: Option<PathBuf>,
    /// Write the map as a picture of pixels, if the command was built with the feature `png`
    #[arg(long, value_name = "FILE")]
    pub(crate) png: Option<PathBuf>,
}
