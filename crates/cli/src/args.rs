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

#[derive(Debug, ClapArgs)]
pub(crate) struct TablesOptions {
    /// One table, by name; without it, all names
    #[arg(long)]
    pub(crate) arch: Option<String>,
    /// Print JSON instead of text
    #[arg(long)]
    pub(crate) json: bool,
}
