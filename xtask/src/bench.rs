//! `bench`: builds the bench for release and passes everything on to it. CI runs it as short as it can be.

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

/// Every peer on every trace, for right answers only. Built with the tests, of which nothing is built again then: by
/// itself the bench has fewer features, so all that it depends on would be.
pub(crate) fn run_quick() -> Result<()> {
    workspace::run("cargo", &["build", "--workspace", "--tests", "--bin", "execmem-bench"])?;
    let bench = workspace::built("execmem-bench");
    workspace::run(&bench, &["--quick"])?;
    // Any processor: the one this runs on may be unknown, and a quick run predicts nothing.
    workspace::run(&bench, &["itlb", "--quick", "--processor", "sapphire-rapids"])
}
