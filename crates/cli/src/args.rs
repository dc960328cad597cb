//! The command line.

mod compare;
mod inputs;

use std::path::PathBuf;

use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum};
use execmem_sim::policy::Release;
use execmem_types::NamedTable;

use crate::arch;
use crate::release::parse_release;

pub(crate) use compare::{CompareOptions, DEFAULT_RELEASE, LoadOptions, ReportOptions};
pub(crate) use inputs::InputOptions;

/// What every exit status means.
const EXIT_STATUSES: &str = "Exit status: 0 if everything went as asked; 1 if the work was done and something in it \
                             failed (a wrong result, a broken invariant, a module that cannot be read); 2 if the \
                             arguments, an input or an output are wrong.";

#[derive(Debug, Parser)]
#[command(
    name = "execmem",
    version,
    about = "One allocator for every user of executable memory",
    after_help = EXIT_STATUSES,
    max_term_width = 100
)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Place functions and modules through one engine, run them, and say where everything landed
    Run(RunOptions),
    /// Serve the same modules, programs and probes by several policies on a simulated machine, and say what each costs
    #[command(after_help = compare::AFTER_HELP)]
    Compare(CompareOptions),
    /// Serve the same by one policy and draw the map of its address space
    Report(ReportOptions),
    /// Collect what can be read of this machine's executable memory into one file for `compare --from`
    #[command(after_help = inputs::AFTER_HELP)]
    Survey(SurveyOptions),
    /// Print the tables of an architecture
    Tables(TablesOptions),
    /// Print the JSON schema of a file that the command writes
    Schema {
        /// Which file
        #[arg(value_enum)]
        of: SchemaChoice,
    },
    /// Print completions for a shell
    Completions {
        /// The shell
        #[arg(value_enum)]
        shell: clap_complete::Shell,
    },
    /// Print the manual page, or that of a subcommand, for `man -l -`
    Man {
        /// The subcommand
        of: Option<String>,
    },
    /// The load whose system calls `run` counts, in a process of its own
    #[command(hide = true)]
    SteadyState,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum SchemaChoice {
    /// What `compare --json` prints
    Compare,
    /// What `survey` writes
    Survey,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct RunOptions {
    /// Load the kernel modules below this folder (.ko, .ko.xz, .ko.zst, .ko.gz) instead of laying out a module set
    #[arg(long, value_name = "DIR")]
    pub(crate) modules: Option<PathBuf>,
    /// Load and unload those modules so many times more, by four threads and in another order each time
    #[arg(long, value_name = "N", default_value_t = 0, requires = "modules")]
    pub(crate) rounds: u64,
    /// What to load
    #[arg(long, value_name = "FILE")]
    pub(crate) workload: Option<PathBuf>,
    /// Memory of this process, or of a simulated machine
    #[arg(long, value_enum, default_value_t = BackendChoice::Linux)]
    pub(crate) backend: BackendChoice,
    /// Table for simulated memory; `execmem tables` says more of each [default: x86]
    #[arg(long, value_name = "TABLE", value_parser = arch::value_parser(), hide_possible_values = true)]
    pub(crate) arch: Option<&'static NamedTable>,
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
pub(crate) struct SurveyOptions {
    /// Write the survey there instead of to standard output
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// Number modules, programs and functions instead of naming them
    #[arg(long)]
    pub(crate) no_names: bool,
    /// Read the files of another system, whose root is this folder
    #[arg(long, value_name = "DIR", conflicts_with = "inputs")]
    pub(crate) root: Option<PathBuf>,
    /// Read the executable memory of a process instead of the kernel's
    #[arg(long, value_name = "PID", conflicts_with = "inputs")]
    pub(crate) pid: Option<u32>,
    /// The architecture, if the files do not say it
    #[arg(long, value_name = "TABLE", value_parser = arch::value_parser(), hide_possible_values = true)]
    pub(crate) arch: Option<&'static NamedTable>,
    /// The release of Linux, if the files do not say it: 6.1, or what `uname -r` prints
    #[arg(long, value_name = "RELEASE", value_parser = parse_release)]
    pub(crate) kernel: Option<Release>,
    #[command(flatten)]
    pub(crate) inputs: InputOptions,
}

impl SurveyOptions {
    /// The release by whose rules module files are read.
    pub(crate) fn release(&self) -> Release {
        self.kernel.unwrap_or(DEFAULT_RELEASE)
    }
}

#[derive(Debug, ClapArgs)]
pub(crate) struct TablesOptions {
    /// One table, by name; without it, all names
    #[arg(long, value_name = "TABLE", value_parser = arch::value_parser(), hide_possible_values = true)]
    pub(crate) arch: Option<&'static NamedTable>,
    /// Print JSON instead of text
    #[arg(long)]
    pub(crate) json: bool,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }
}
