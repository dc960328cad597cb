//! The command line.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum};

#[derive(Debug, Parser)]
#[command(name = "execmem", version, about = "One allocator for every user of executable memory")]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Place functions and modules through one engine, run them, and say where everything landed
    Run(RunOptions),
    /// Serve the same modules, programs and probes by several policies on a simulated machine, and say what each costs
    Compare(CompareOptions),
    /// Serve the same by one policy and draw the map of its address space
    Report(ReportOptions),
    /// Print the tables of an architecture
    Tables(TablesOptions),
    /// The load whose system calls `run` counts, in a process of its own
    #[command(hide = true)]
    SteadyState,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct RunOptions {
    /// Load the kernel modules below this folder (.ko, .ko.xz, .ko.zst) instead of laying out a module set
    #[arg(long, value_name = "DIR")]
    pub(crate) modules: Option<PathBuf>,
    /// What to load
    #[arg(long, value_name = "FILE")]
    pub(crate) workload: Option<PathBuf>,
    /// Memory of this process, or of a simulated machine
    #[arg(long, value_enum, default_value_t = BackendChoice::Linux)]
    pub(crate) backend: BackendChoice,
    /// Table for simulated memory; `execmem tables` lists them
    #[arg(long, default_value = "x86")]
    pub(crate) arch: String,
    /// Print JSON instead of tables
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum BackendChoice {
    Linux,
    Sim,
}

/// What is loaded, and on which machine.
#[derive(Debug, Clone, ClapArgs)]
pub(crate) struct LoadOptions {
    /// Take the sizes of the kernel modules below this folder (.ko, .ko.xz, .ko.zst) instead of a module set
    #[arg(long, value_name = "DIR", conflicts_with_all = ["set", "kernel"])]
    pub(crate) modules: Option<PathBuf>,
    /// Whose modules: workstation, server or laptop
    #[arg(long, default_value = "workstation")]
    pub(crate) set: String,
    /// Of which kernel: 6.1 or 7.2
    #[arg(long, default_value = "6.1")]
    pub(crate) kernel: String,
    /// The machine around the memory: guest, server or board
    #[arg(long, default_value = "guest")]
    pub(crate) machine: String,
    /// BPF programs to load after the modules
    #[arg(long, default_value_t = 1000)]
    pub(crate) programs: usize,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct CompareOptions {
    #[command(flatten)]
    pub(crate) load: LoadOptions,
    /// Table for the policy `execmem`, and the window and page sizes of all; `execmem tables` lists them
    #[arg(long, default_value = "x86")]
    pub(crate) arch: String,
    /// Policies, separated by commas; all of them without it
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    pub(crate) policies: Vec<String>,
    /// Modules and programs to replace by others once everything is loaded
    #[arg(long, default_value_t = 1000)]
    pub(crate) churn: u32,
    /// Calls in each trace for the translation caches
    #[arg(long, default_value_t = 200_000)]
    pub(crate) calls: u64,
    /// Take memory from a cache of frames that the direct map does not show
    #[arg(long)]
    pub(crate) unmapped: bool,
    /// Large pages that can be had; as many as fit the memory without it
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
    /// Print JSON instead of tables. What it says at the top of a policy is of the moment when all modules are loaded;
    /// splits, merges and flushes are of the whole run
    #[arg(long)]
    pub(crate) json: bool,
    /// Write a report to look at in a browser
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct ReportOptions {
    #[command(flatten)]
    pub(crate) load: LoadOptions,
    /// Table; `execmem tables` lists them
    #[arg(long, default_value = "x86")]
    pub(crate) arch: String,
    /// Policy; `execmem compare` prints all of them
    #[arg(long, default_value = "execmem")]
    pub(crate) policy: String,
    /// Write a page to look at in a browser
    #[arg(long, value_name = "FILE", required_unless_present_any = ["svg", "png"])]
    pub(crate) html: Option<PathBuf>,
    /// Write the map as a picture that can be scaled
    #[arg(long, value_name = "FILE")]
    pub(crate) svg: Option<PathBuf>,
    /// Write the map as a picture of pixels
    #[arg(long, value_name = "FILE")]
    pub(crate) png: Option<PathBuf>,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct TablesOptions {
    /// One table, by name; without it, all names
    #[arg(long)]
    pub(crate) arch: Option<String>,
    /// Print JSON instead of text
    #[arg(long)]
    pub(crate) json: bool,
}
