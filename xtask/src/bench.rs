//! `bench`: builds the bench for release and passes everything on to it.

use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::workspace;

/// Runs the bench. Prints nothing of its own: its output may be for a machine.
pub(crate) fn run(args: &[String]) -> Result<()> {
    let mut command = Command::new("cargo");
    command.args(["run", "--release", "--quiet", "--package", "execmem-bench", "--"]).args(args);
    let status = command.current_dir(workspace::root()).status().context("starting cargo")?;
    ensure!(status.success(), "the bench failed: {status}");
    Ok(())
}
