//! The `execmem` command: runs loads on real and simulated memory, surveys machines, compares policies, prints tables. A
//! library, so that fuzzers reach the [`readers`] of files that it does not trust:
//!
//! ```
//! let reader = execmem_cli::readers::ALL.iter().find(|reader| reader.name == "trace").expect("a reader");
//! assert!(reader.read(b"1.5 bpf_load program 1204").is_ok());
//! assert!(reader.read(b"no trace").is_err());
//! ```
#![deny(unsafe_code)]
#![allow(clippy::print_stderr, reason = "a command says what went wrong")]

mod arch;
mod args;
mod compare;
mod execute;
mod generate;
mod html;
mod inputs;
mod manual;
mod output;
mod picture;
mod provenance;
pub mod readers;
mod release;
mod report;
mod run;
mod survey;
mod tables;
mod workload;

use std::process::ExitCode;

use clap::Parser as _;

use args::{Args, Command};

/// Arguments, an input or an output are wrong.
const WRONG: u8 = 2;

/// Runs the command with the arguments of this process. Returns its exit status.
#[must_use]
pub fn command() -> ExitCode {
    // A reader of the output may stop: `execmem tables | head`.
    sigpipe::reset();
    let done = |()| ExitCode::SUCCESS;
    let outcome = match Args::parse().command {
        Command::Run(options) => run::run(&options),
        Command::Compare(options) => compare::run(&options),
        Command::Report(options) => report::run(&options),
        Command::Survey(options) => survey::run(&options),
        Command::Tables(options) => tables::print(&options).map(done),
        Command::Schema { of } => manual::schema(of).map(done),
        Command::Completions { shell } => manual::completions(shell).map(done),
        Command::Man { of } => manual::page(of.as_deref()).map(done),
        Command::SteadyState => run::steady::child().map(done),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("execmem: {}", shown(&error));
        ExitCode::from(WRONG)
    })
}

/// An error as a terminal gets it: parts of files in it do not steer the terminal.
fn shown(error: &anyhow::Error) -> String {
    let text = format!("{error:#}");
    text.lines().map(output::printable).collect::<Vec<_>>().join("\n")
}
