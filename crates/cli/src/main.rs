//! The `execmem` command: runs loads on real and simulated memory, surveys machines, compares policies, prints tables.
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

fn main() -> ExitCode {
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
        eprintln!("execmem: {error:#}");
        ExitCode::from(WRONG)
    })
}
