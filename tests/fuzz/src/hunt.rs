//! The loop: inputs are changed and run; those that get further are kept.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use crate::counters::Seen;
use crate::{Random, Target};

/// The longest input.
const MOST_BYTES: usize = 1 << 16;
/// The most inputs that are kept.
const MOST_KEPT: usize = 20_000;

/// How long and from where.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Start of the random numbers.
    pub seed: u64,
    /// The end.
    pub time: Duration,
    /// The end, if it comes before.
    pub runs: u64,
    /// Where inputs that get further are kept, for the next time.
    pub kept: Option<PathBuf>,
    /// Where the input that fails is put.
    pub findings: PathBuf,
}

/// What was done.
#[derive(Debug, Clone, Copy, Default)]
pub struct Report {
    /// Inputs.
    pub runs: u64,
    /// Inputs that the product took.
    pub taken: u64,
    /// Inputs that got further than those before.
    pub kept: usize,
    /// Edges of the program that were taken, and all of instrumented code.
    pub edges: (usize, usize),
    /// How long it took.
    pub time: Duration,
}

/// An input for which a target panicked.
#[derive(Debug, Clone)]
pub struct Finding {
    /// The file with it.
    pub file: PathBuf,
    /// The input's number.
    pub number: u64,
}

/// A target, and inputs that got somewhere.
struct Hunt<'a> {
    target: &'a Target,
    plan: &'a Plan,
    random: Random,
    inputs: Vec<Vec<u8>>,
    seen: Seen,
    report: Report,
}

/// Runs a target until time is up or it fails.
///
/// # Errors
///
/// A file cannot be read or written.
pub fn hunt(target: &Target, plan: &Plan) -> Result<(Report, Option<Finding>)> {
    let start = Instant::now();
    let random = Random::new(plan.seed);
    let mut hunt = Hunt { target, plan, random, inputs: Vec::new(), seen: Seen::default(), report: Report::default() };
    let mut first = (target.seeds)();
    if let Some(kept) = &plan.kept {
        first.extend(read_all(kept)?);
    }
    // Making seeds runs targets; none of that counts.
    hunt.seen.take();
    hunt.seen = Seen::default();
    let mut finding = None;
    for input in first {
        hunt.inputs.push(input.clone());
        finding = finding.or(hunt.run(&input)?);
    }
    while finding.is_none() && hunt.report.runs < plan.runs && start.elapsed() < plan.time {
        let input = hunt.next_input();
        finding = hunt.run(&input)?;
        hunt.keep(input)?;
    }
    hunt.report.time = start.elapsed();
    hunt.report.edges = (hunt.seen.edges, hunt.seen.counters());
    Ok((hunt.report, finding))
}

/// The files of a folder, by name. None if it is not there.
///
/// # Errors
///
/// One cannot be read.
pub fn read_all(folder: &Path) -> Result<Vec<Vec<u8>>> {
    let Ok(entries) = fs::read_dir(folder) else { return Ok(Vec::new()) };
    let mut files = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    files.sort();
    files.iter().map(|file| fs::read(file).with_context(|| format!("reading {}", file.display()))).collect()
}

impl Hunt<'_> {
    /// Another input: one that got somewhere, the later the likelier, changed.
    fn next_input(&mut self) -> Vec<u8> {
        let len = self.inputs.len();
        let recent = if self.random.below(2) == 0 { len } else { len.min(64) };
        let index = len - recent + self.random.below(recent);
        let mut input = self.inputs[index].clone();
        let other = self.random.below(len);
        (self.target.change)(&mut self.random, &mut input, &self.inputs[other]);
        input.truncate(MOST_BYTES);
        input
    }

    fn run(&mut self, input: &[u8]) -> Result<Option<Finding>> {
        self.report.runs += 1;
        match catch_unwind(AssertUnwindSafe(|| (self.target.run)(input))) {
            Ok(is_taken) => {
                self.report.taken += u64::from(is_taken);
                Ok(None)
            }
            Err(_) => {
                let number = self.report.runs;
                let file = self.plan.findings.join(format!("{}-{:x}-{number}", self.target.name, self.plan.seed));
                write(&file, input)?;
                Ok(Some(Finding { file, number }))
            }
        }
    }

    fn keep(&mut self, input: Vec<u8>) -> Result<()> {
        if !self.seen.take() || self.inputs.len() >= MOST_KEPT {
            return Ok(());
        }
        self.report.kept += 1;
        if let Some(kept) = &self.plan.kept {
            write(&kept.join(format!("{:x}-{:08}", self.plan.seed, self.report.runs)), &input)?;
        }
        self.inputs.push(input);
        Ok(())
    }
}

fn write(file: &Path, bytes: &[u8]) -> Result<()> {
    let folder = file.parent().context("a file in a folder")?;
    fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    fs::write(file, bytes).with_context(|| format!("writing {}", file.display()))
}
