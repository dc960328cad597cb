//! Runs the targets of fuzzing in a loop: `cargo xtask fuzz` builds this with counters and calls it.
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, reason = "it talks to a terminal")]

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, ensure};
use clap::Parser;
use execmem_fuzz::hunt::{self, Plan};
use execmem_fuzz::{TARGETS, Target, named};

#[derive(Debug, Parser)]
#[command(about = "Runs functions of bytes on bytes from anywhere")]
struct Args {
    /// How long, of each target.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// How many inputs at most, of each target.
    #[arg(long, default_value_t = u64::MAX)]
    runs: u64,
    /// Targets; all if none is named.
    #[arg(long)]
    target: Vec<String>,
    /// Start of the random numbers: the time if it is not said.
    #[arg(long)]
    seed: Option<u64>,
    /// Where inputs that get further are kept, and found the next time.
    #[arg(long)]
    kept: Option<PathBuf>,
    /// Where an input that fails is put.
    #[arg(long, default_value = "findings")]
    findings: PathBuf,
    /// Run one input of one target instead.
    #[arg(long)]
    input: Option<PathBuf>,
}

fn targets(names: &[String]) -> Result<Vec<&'static Target>> {
    if names.is_empty() {
        return Ok(TARGETS.iter().collect());
    }
    let find = |name: &String| {
        let known = || TARGETS.iter().map(|target| target.name).collect::<Vec<_>>().join(", ");
        named(name).with_context(|| format!("there is no target {name}; there are {}", known()))
    };
    names.iter().map(find).collect()
}

fn fuzz(args: &Args) -> Result<()> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let seed = args.seed.unwrap_or(now);
    let mut failed = Vec::new();
    for target in targets(&args.target)? {
        let kept = args.kept.as_ref().map(|kept| kept.join(target.name));
        let plan = Plan {
            seed,
            time: Duration::from_secs(args.seconds),
            runs: args.runs,
            kept,
            findings: args.findings.clone(),
        };
        let (report, finding) = hunt::hunt(target, &plan)?;
        println!(
            "{:16} {:10} inputs in {:6.1} s, {:3} % taken, {} of {} edges, {} kept, seed {seed}",
            target.name,
            report.runs,
            report.time.as_secs_f64(),
            report.taken * 100 / report.runs.max(1),
            report.edges.0,
            report.edges.1,
            report.kept,
        );
        if let Some(finding) = finding {
            println!("{}: input {} of seed {seed} fails: {}", target.name, finding.number, finding.file.display());
            failed.push(target.name);
        }
    }
    ensure!(failed.is_empty(), "findings in {}", failed.join(", "));
    Ok(())
}

fn run(args: &Args) -> Result<()> {
    let Some(input) = &args.input else { return fuzz(args) };
    let bytes = std::fs::read(input).with_context(|| format!("reading {}", input.display()))?;
    for target in targets(&args.target)? {
        println!("{}: {}", target.name, if (target.run)(&bytes) { "taken" } else { "refused" });
    }
    Ok(())
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("{error:#}");
            ExitCode::FAILURE
        }
    }
}
