//! `mutants`: changes the product in one place after another, and asks whether a test fails then.
//!
//! cargo-mutants makes the changes and runs the tests. Here is which of them are made, a sample that depends on a seed alone;
//! which tests are asked, those of the package first, then what is quick of the large suite, and all of it only about what
//! these missed; and what is known already, so that a run that was interrupted goes on where it was.

mod known;
mod score;
mod tree;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use clap::Args;
use known::{Known, Outcome};

use crate::workspace;

/// What `mutants` is told.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// A package; may be given several times. Ranges, types, engine and Linux memory if it is not.
    #[arg(long)]
    package: Vec<String>,
    /// Mutants of each package: as many as the committed figures are from if it is not said.
    #[arg(long)]
    sample: Option<usize>,
    /// Which mutants: the same seed picks the same ones.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// All mutants of lines that differ from a commit, the last if none is named, instead of a sample.
    #[arg(long, value_name = "COMMIT", num_args = 0..=1, default_missing_value = "HEAD")]
    in_diff: Option<String>,
    /// Forget what earlier runs found: outcomes are those of the source as it was then.
    #[arg(long)]
    anew: bool,
    /// Run nothing; print what is known of the sample.
    #[arg(long)]
    report: bool,
}

/// A package whose mutants are made.
struct Subject {
    package: &'static str,
    /// Where its own tests are: examples that are tests list none.
    own: &'static [&'static str],
    /// As many mutants as show what its tests notice, in the time that they take.
    sample: usize,
    /// What else is asked about those that the package's own tests missed.
    suite: Suite,
}

/// A test target of the package of tests.
#[derive(Clone, Copy)]
struct Suite {
    target: &'static str,
    /// Tests that take a second or less, and one of each family of those that take longer.
    quick: &'static str,
    /// All that can notice something.
    whole: &'static str,
}

/// What needs no Linux. One test takes longer than all others, and measures.
const SIMULATED: Suite = Suite {
    target: "simulated",
    quick: "not test(/prog_pack|matrix|inv_09_a_backend_that|inv_09_one_refused_call|inv_01_03_05/) \
            or test(/inv_01_03_05_hold_on_x86$/)",
    whole: "not test(prog_pack)",
};
/// What executes.
const HOST: Suite = Suite {
    target: "host",
    quick: "not test(/soak|stress|sequences_on/) or test(/sequences_on_memory_mapped_twice$/)",
    whole: "all()",
};

const SUBJECTS: [Subject; 4] = [
    Subject { package: "execmem-range", own: &["--lib"], sample: 195, suite: SIMULATED },
    Subject { package: "execmem-types", own: &["--lib", "--test=*"], sample: 80, suite: SIMULATED },
    Subject { package: "execmem", own: &["--lib"], sample: 60, suite: SIMULATED },
    Subject { package: "execmem-linux", own: &["--lib", "--all-features"], sample: 30, suite: HOST },
];

/// What is printed for debugging is compared with nothing.
const EXCLUDED: [&str; 3] = ["impl Debug", "impl fmt::Debug", "impl core::fmt::Debug"];

/// Runs the mutants of every package, and prints what came of it.
pub(crate) fn run(options: &Options) -> Result<()> {
    for program in ["cargo-mutants", "cargo-nextest"] {
        ensure!(workspace::is_installed(program), "{program} is missing: cargo install --locked {program}");
    }
    let subjects: Vec<_> = SUBJECTS.iter().filter(|subject| is_wanted(options, subject)).collect();
    ensure!(!subjects.is_empty(), "no package {}; there are {}", options.package.join(", "), names().join(", "));
    let mut scores = Vec::new();
    for subject in subjects {
        scores.push(score::Score::of(subject.package, &examine(options, subject)?));
    }
    score::print(&scores)
}

fn is_wanted(options: &Options, subject: &Subject) -> bool {
    options.package.is_empty() || options.package.iter().any(|name| name == subject.package)
}

fn names() -> Vec<&'static str> {
    SUBJECTS.iter().map(|subject| subject.package).collect()
}

/// Runs what is not known of a package's sample. Returns all of it.
fn examine(options: &Options, subject: &Subject) -> Result<Vec<(String, Outcome)>> {
    let folder = workspace::output().join("mutants").join(subject.package);
    if options.anew && folder.is_dir() {
        fs::remove_dir_all(&folder).with_context(|| format!("removing {}", folder.display()))?;
    }
    fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
    let mut known = Known::read(&folder)?;
    // Of a run that was interrupted, in the order in which it went.
    Pass::ALL.iter().try_for_each(|pass| known.absorb(&folder, *pass))?;
    let wanted = wanted(options, subject, &folder)?;
    for pass in Pass::ALL {
        let rest: Vec<_> = wanted.iter().filter(|name| known.is_open(name, pass)).cloned().collect();
        println!("{}: {} of {} mutants to {}", subject.package, rest.len(), wanted.len(), pass.tests(subject));
        if !options.report && !rest.is_empty() {
            let outcome = mutate(subject, pass, &rest, &folder);
            known.absorb(&folder, pass)?;
            outcome?;
        }
    }
    Ok(wanted.into_iter().map(|name| (name.clone(), known.of(&name))).collect())
}

/// Which tests are asked about a mutant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pass {
    /// The package's own tests.
    Own,
    /// What is quick of the suite behind it.
    Quick,
    /// All of that suite.
    Whole,
}

impl Pass {
    const ALL: [Pass; 3] = [Pass::Own, Pass::Quick, Pass::Whole];

    /// Where cargo-mutants writes what it finds.
    fn folder(self, package: &Path) -> PathBuf {
        package.join(match self {
            Pass::Own => "own",
            Pass::Quick => "quick",
            Pass::Whole => "whole",
        })
    }

    fn tests(self, subject: &Subject) -> String {
        match self {
            Pass::Own => format!("the tests of {}", subject.package),
            Pass::Quick => format!("what is quick of execmem-tests --test {}", subject.suite.target),
            Pass::Whole => format!("execmem-tests --test {}", subject.suite.target),
        }
    }

    /// The package whose tests are asked, what is built of it, and what is run of that.
    fn arguments(self, subject: &Subject) -> (&'static str, Vec<String>, Vec<String>) {
        match self {
            Pass::Own => (
                subject.package,
                subject.own.iter().map(|part| (*part).to_owned()).collect(),
                vec!["--no-tests=pass".into()],
            ),
            Pass::Quick => subject.suite.arguments(subject.suite.quick),
            Pass::Whole => subject.suite.arguments(subject.suite.whole),
        }
    }
}

impl Suite {
    /// As [`Pass::arguments`], of the tests that a filter lets through.
    fn arguments(self, filter: &str) -> (&'static str, Vec<String>, Vec<String>) {
        ("execmem-tests", vec![format!("--test={}", self.target)], vec![format!("--filterset={filter}")])
    }
}

/// The mutants that are to be made: names that tell file, place and change.
fn wanted(options: &Options, subject: &Subject, folder: &Path) -> Result<BTreeSet<String>> {
    let mut command = Command::new("cargo");
    command.args(["mutants", "--list", "--package", subject.package]);
    command.args(EXCLUDED.map(|name| format!("--exclude-re={name}")));
    if let Some(commit) = &options.in_diff {
        command.arg("--in-diff").arg(difference(commit, folder)?);
    }
    let output = command.current_dir(workspace::root()).output().context("starting cargo mutants")?;
    ensure!(output.status.success(), "cargo mutants --list: {}", String::from_utf8_lossy(&output.stderr));
    let all = String::from_utf8(output.stdout).context("the list of mutants")?;
    let mut named: Vec<_> = all.lines().map(str::to_owned).collect();
    if options.in_diff.is_none() {
        named.sort_by_cached_key(|name| (place(options.seed, name), name.clone()));
        named.truncate(options.sample.unwrap_or(subject.sample));
    }
    Ok(named.into_iter().collect())
}

/// The lines that differ from a commit, as a file.
fn difference(commit: &str, folder: &Path) -> Result<PathBuf> {
    let git = Command::new("git").args(["diff", commit]).current_dir(workspace::root()).output();
    let git = git.context("starting git")?;
    ensure!(git.status.success(), "git diff {commit}: {}", String::from_utf8_lossy(&git.stderr));
    let file = folder.join("difference");
    fs::write(&file, git.stdout).with_context(|| format!("writing {}", file.display()))?;
    Ok(file)
}

/// Where a mutant stands in the order of a seed. Lines do not count, so that a sample stays as the source moves.
fn place(seed: u64, name: &str) -> u64 {
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
    let hash = known::without_lines(name).bytes().fold(0xcbf2_9ce4_8422_2325 ^ seed.wrapping_mul(0x9e37_79b9), step);
    (hash ^ hash >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 1
}

/// Makes mutants one after the other, and runs one pass of tests on each, after these have passed without.
fn mutate(subject: &Subject, pass: Pass, names: &[String], folder: &Path) -> Result<()> {
    fs::create_dir_all(pass.folder(folder)).with_context(|| format!("making {}", pass.folder(folder).display()))?;
    let list = folder.join("wanted.toml");
    let exact: Vec<_> = names.iter().map(|name| format!("^{}$", escaped(name))).collect();
    // In these files it also leaves out every field once, whatever the names say (cargo-mutants 27.1).
    let files: BTreeSet<_> = names.iter().filter_map(|name| name.split(':').next()).collect();
    let lists =
        BTreeMap::from([("examine_re", exact), ("examine_globs", files.into_iter().map(str::to_owned).collect())]);
    let text = toml::to_string(&lists)?;
    fs::write(&list, text).with_context(|| format!("writing {}", list.display()))?;

    let tree = tree::copy()?;
    let (package, built, tested) = pass.arguments(subject);
    let mut tests = Command::new("cargo");
    tests.args(["nextest", "run", "--cargo-profile=mutants", "--status-level=fail", "--package", package]);
    let begun = Instant::now();
    let status = in_tree(&mut tests, &tree).args(&built).args(&tested).status().context("starting cargo nextest")?;
    ensure!(status.success(), "the tests fail without mutants: {status}");
    // What takes several times as long does not end.
    let limit = begun.elapsed().max(Duration::from_secs(15)) * 4;

    let mut mutants = Command::new("cargo");
    mutants.args(["mutants", "--test-tool=nextest", "--profile=mutants", "--no-shuffle", "--colors=never"]);
    mutants.args([
        "--in-place",
        "--baseline=skip",
        &format!("--timeout={}", limit.as_secs()),
        "--package",
        subject.package,
        "--test-package",
        package,
    ]);
    mutants.args(built.iter().map(|argument| format!("--cargo-arg={argument}")));
    mutants.args(tested.iter().map(|argument| format!("--cargo-test-arg={argument}")));
    mutants.arg("--config").arg(&list).arg("--output").arg(pass.folder(folder));
    let status = in_tree(&mut mutants, &tree).status().context("starting cargo mutants")?;
    match status.code() {
        // All noticed, some missed, some without end.
        Some(0 | 2 | 3) => Ok(()),
        _ => bail!("cargo mutants: {status}"),
    }
}

/// A command in the copy, which builds in there.
fn in_tree<'a>(command: &'a mut Command, tree: &Path) -> &'a mut Command {
    command.current_dir(tree).env_remove("CARGO_TARGET_DIR").env_remove("CARGO_MANIFEST_DIR")
}

/// A text as a regular expression that matches it.
fn escaped(text: &str) -> String {
    let escape = |letter: char| r"\.+*?()|[]{}^$#&-~".contains(letter).then_some('\\');
    text.chars().flat_map(|letter| escape(letter).into_iter().chain([letter])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_depends_on_the_seed_and_not_on_lines() {
        let [one, moved] = ["a.rs:1:2: replace f", "a.rs:7:9: replace f"];
        assert_eq!(place(1, one), place(1, moved));
        assert_ne!(place(1, one), place(2, one));
        let other = "a.rs:1:2: replace g";
        assert!((0..64).any(|seed| place(seed, one) < place(seed, other)));
        assert!((0..64).any(|seed| place(seed, one) > place(seed, other)));
    }

    #[test]
    fn names_are_matched_as_they_are() {
        // A backslash before `<` or `>` would match the end of a word.
        assert_eq!(escaped("a.rs: replace + with -> (1)"), r"a\.rs: replace \+ with \-> \(1\)");
    }
}
