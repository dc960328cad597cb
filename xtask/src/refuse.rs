//! `refuse`: every request for heap is refused in turn, or the stack of every operation is measured.

use anyhow::Result;
use clap::Args;

use crate::workspace;

/// What `refuse` is told.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Measure the stack of every operation of the engine, in a release build, and fail if one takes more than 4 KiB.
    #[arg(long)]
    stack: bool,
}

/// Builds the program and runs it: for release where the stack is measured, which only a release build keeps small.
pub(crate) fn run(options: &Options) -> Result<()> {
    if options.stack {
        run_stack()
    } else {
        workspace::run("cargo", &["run", "--quiet", "--package", "execmem-refuse"])
    }
}

/// Refuses the heap. Built with the tests, of which nothing is built again then.
pub(crate) fn run_built() -> Result<()> {
    workspace::run("cargo", &["build", "--workspace", "--tests", "--bin", "execmem-refuse"])?;
    workspace::run(&workspace::built("execmem-refuse"), &[])
}

/// Measures the stack.
pub(crate) fn run_stack() -> Result<()> {
    workspace::run("cargo", &["run", "--release", "--quiet", "--package", "execmem-refuse", "--", "--stack"])
}
