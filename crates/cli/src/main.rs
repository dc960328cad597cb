//! The `execmem` command: runs loads on real and simulated memory, and prints tables.
#![deny(unsafe_code)]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command talks to a terminal")]

mod arch;
mod args;
mod compare;
mod execute;
mod generate;
mod html;
mod picture;
mod report;
mod run;
mod tables;
mod workload;

use std::process::ExitCode;

use clap::Parser as _;

use args::{Args, Command};

fn main() -> ExitCode {
    // Whoever reads the output may stop: `execmem tables | head`.
    sigpipe::reset();
    let outcome = match Args::parse().command {
        Command::Run(options) => run::run(&options),
        Command::Compare(options) => compare::run(&options).map(|()| ExitCode::SUCCESS),
        Command::Report(options) => report::run(&options).map(|()| ExitCode::SUCCESS),
        Command::Tables(options) => tables::print(&options).map(|()| ExitCode::SUCCESS),
        Command::SteadyState => run::steady::child().map(|()| ExitCode::SUCCESS),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("execmem: {error:#}");
        ExitCode::from(2)
    })
}
