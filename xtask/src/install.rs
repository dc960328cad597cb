//! `install`: the programs that tests and tasks need, from Debian's packages.

use std::collections::BTreeSet;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use skip::{TOOLS, Tool};

use crate::workspace;

/// How often what needs the network is tried, and how long after a failure it is tried again.
const TRIES: u32 = 3;
const PAUSE: Duration = Duration::from_secs(10);

/// Another program may have the lock of the package database for a moment, and a mirror may fail for one.
const PATIENT: [&str; 4] = ["-o", "DPkg::Lock::Timeout=300", "-o", "Acquire::Retries=3"];

/// What `install` is told.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Remove packages that stand in the way, such as one of a newer release than the source of packages has
    #[arg(long)]
    replace: bool,
}

/// Installs what is missing of [`TOOLS`]: all packages at once, or where one of them refuses, each that can be had.
pub(crate) fn run(options: &Options) -> Result<()> {
    let packages: BTreeSet<_> = missing().map(|tool| tool.package).collect();
    if !packages.is_empty() {
        let packages: Vec<_> = packages.into_iter().collect();
        retried(|| apt(&["--quiet", "update"])).context("apt reaches no source of packages")?;
        if retried(|| install(&packages, options)).is_err() {
            packages.iter().for_each(|package| drop(install(&[package], options)));
        }
    }
    let still: Vec<_> = missing().map(|tool| format!("{} ({})", tool.file, tool.package)).collect();
    ensure!(still.is_empty(), "not installed: {}; `--replace` removes what stands in the way", still.join(", "));
    println!("{} tools are installed", TOOLS.len());
    Ok(())
}

fn install(packages: &[&str], options: &Options) -> Result<()> {
    let keep: &[&str] = if options.replace { &[] } else { &["--no-remove"] };
    apt(&[&["install", "--yes", "--no-install-recommends"], keep, packages].concat())
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
