//! `refuse`: every request for heap is refused in turn, or every system call, or the stack of every operation is measured.

use anyhow::Result;
use clap::Args;

use crate::workspace;

/// What `refuse` is told.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Measure the stack of every operation of engine and loader, in a release build, and fail if one takes more than 4 KiB.
    #[arg(long)]
    stack: bool,
    /// Refuse every system call of the Linux memory in turn, once and for good, by tracing children. Takes minutes.
    #[arg(long, conflicts_with = "stack")]
    system: bool,
}

/// Builds the program and runs it: for release where the stack is measured, which only a release build keeps small.
pub(crate) fn run(options: &Options) -> Result<()> {
    if options.stack {
        run_stack()
    } else if options.system {
        let test = ["test", "--package", "execmem-tests", "--test", "host", "linux::refused", "--", "--nocapture"];
        workspace::run_with("cargo", &test, &[("EXECMEM_EVERY_CALL", "1")])
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
    let program = ["run", "--release", "--quiet", "--package", "execmem-refuse", "--", "--stack"];
    workspace::run_with("cargo", &program, &[workspace::UNITS])
}
