//! `soak`: minutes of everything at once on real memory, which refuses now and then: tests/linux/soak.rs.

use anyhow::Result;
use clap::Args;

use crate::workspace;

/// What `soak` is told.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// How long, for all ways to publish together.
    #[arg(long, default_value_t = 10.0)]
    minutes: f64,
}

/// Runs the test for that long.
pub(crate) fn run(options: &Options) -> Result<()> {
    let seconds = (options.minutes * 60.0).to_string();
    let test = ["test", "--package", "execmem-tests", "--test", "host", "linux::soak", "--", "--nocapture"];
    workspace::run_with("cargo", &test, &[("EXECMEM_SOAK_SECONDS", &seconds)])
}
