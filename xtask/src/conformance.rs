//! `conformance`: the laws of backends, checked on the simulator and on this machine, or on backends that break them.

use anyhow::Result;
use clap::Args;

use crate::workspace;

/// What is checked.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Checks broken backends instead, at least three for each law, and fails if one is not caught.
    #[arg(long)]
    mutants: bool,
}

const SIMULATED: [&str; 5] = ["test", "--package", "execmem-conformance", "--test", "simulated"];

/// Runs the suite on broken backends.
pub(crate) fn run_mutants() -> Result<()> {
    run(&Options { mutants: true })
}

/// Runs the suite.
pub(crate) fn run(options: &Options) -> Result<()> {
    let simulated = |filter: &[&str]| workspace::run("cargo", &[&SIMULATED, filter].concat());
    if options.mutants {
        return simulated(&["mutant", "--", "--nocapture"]);
    }
    simulated(&["the_laws", "--", "--nocapture"])
}
