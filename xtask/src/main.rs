//! Build tasks: `cargo xtask help` lists them.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a build tool talks to a terminal")]

mod generate;
mod workspace;

use anyhow::Result;
use clap::{Parser, Subcommand};

#[derive(Debug, Parser)]
#[command(name = "cargo xtask", about = "Build tasks of execmem")]
struct Args {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Turn `configs/arch/*.toml` into the generated tables of the arch crates.
    Gen {
        /// Fail if a committed file differs instead of writing it.
        #[arg(long)]
        check: bool,
    },
}

fn main() -> Result<()> {
    match Args::parse().task {
        Task::Gen { check } => generate::run(check),
    }
}
