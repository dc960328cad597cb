//! `install`: the programs that tests and tasks need, from Debian's packages.

use std::collections::BTreeSet;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use skip::{TOOLS, Tool};

use crate::workspace;

/// How often what needs the network is tried, and how long after a failure it is tried again.
const TRIES: u32 = 3;
const PAUSE: Duration = Duration::from_secs(10);

/// Another program may have the lock of the package database for a moment, and a mirror may fail for one.
const PATIENT: [&str; 4] = ["-o", "DPkg::Lock::Timeout=300", "-o", "Acquire::Retries=3"];

/// Installs what is missing of [`TOOLS`]; nothing that is installed is removed for it.
pub(crate) fn run() -> Result<()> {
    let packages: BTreeSet<_> = missing().map(|tool| tool.package).collect();
    if !packages.is_empty() {
        let packages: Vec<_> = packages.into_iter().collect();
        let install = ["install", "--yes", "--no-install-recommends", "--no-remove"];
        retried(|| apt(&["--quiet", "update"]).and_then(|()| apt(&[&install[..], &packages].concat())))
            .with_context(|| format!("installing {}; can apt reach a source of packages?", packages.join(", ")))?;
    }
    let still: Vec<_> = missing().map(|tool| tool.file).collect();
    ensure!(still.is_empty(), "packages are installed, but not {still:?}; is the table of tools right?");
    println!("{} tools are installed", TOOLS.len());
    Ok(())
}

fn missing() -> impl Iterator<Item = &'static Tool> {
    TOOLS.iter().filter(|tool| !tool.is_installed())
}

fn apt(args: &[&str]) -> Result<()> {
    workspace::run_with("apt-get", &[&PATIENT[..], args].concat(), &[("DEBIAN_FRONTEND", "noninteractive")])
}

/// Does something until it succeeds, or has failed too often.
fn retried(action: impl Fn() -> Result<()>) -> Result<()> {
    let mut outcome = action();
    for _ in 1..TRIES {
        if outcome.is_ok() {
            break;
        }
        sleep(PAUSE);
        outcome = action();
    }
    outcome
}
