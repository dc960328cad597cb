//! `bench`: builds the bench for release and passes everything on to it. CI runs it as short as it can be.
//!
//! Instructions of each call of the engine are counted by a program of their own, which is built in seconds.

use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::{skips, workspace};

/// Runs the bench. Prints nothing of its own: its output may be for a machine.
pub(crate) fn run(args: &[String]) -> Result<()> {
    let package = if counts_calls(args) { "execmem-instructions" } else { "execmem-bench" };
    let args = args.iter().filter(|arg| package == "execmem-bench" || *arg != CALLGRIND);
    let mut command = Command::new("cargo");
    command.args(["run", "--release", "--quiet", "--package", package, "--"]).args(args);
    let status = command
        .env(workspace::UNITS.0, workspace::UNITS.1)
        .current_dir(workspace::root())
        .status()
        .context("starting cargo")?;
    ensure!(status.success(), "the bench failed: {status}");
    Ok(())
}

/// What asks for instructions instead of time.
const CALLGRIND: &str = "--callgrind";

/// Whether instructions are asked for, and of no trace.
fn counts_calls(args: &[String]) -> bool {
    args.iter().any(|arg| arg == CALLGRIND) && args.iter().all(|arg| OF_CALLS.contains(&&**arg))
}

/// What can be asked of the program that counts the instructions of calls.
const OF_CALLS: [&str; 5] = [CALLGRIND, "--json", "--files", "--record", "--check"];

/// The instructions of each call that were recorded.
const RECORD: &str = "tests/bench/record/instructions.json";

/// Fails if a call of the engine takes more instructions than recorded, where they can be counted: other compilers make
/// other code.
pub(crate) fn check_possible() -> Result<()> {
    let record =
        std::fs::read_to_string(workspace::root().join(RECORD)).with_context(|| format!("reading {RECORD}"))?;
    let output = Command::new("rustc").arg("--version").output().context("starting rustc")?;
    let compiler = format!("{} {}", String::from_utf8_lossy(&output.stdout).trim(), std::env::consts::ARCH);
    let is_recorded = skip::condition(record.contains(&compiler), "instructions are recorded for another compiler");
    if !skips::note("bench --callgrind", &[is_recorded, skip::tool("valgrind")])? {
        return Ok(());
    }
    let program = ["run", "--release", "--quiet", "--package", "execmem-instructions", "--", "--check"];
    workspace::run_with("cargo", &program, &[workspace::UNITS])
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
