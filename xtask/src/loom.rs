//! `loom`: runs the models of tests/model, and shows that each fails when the line it guards is broken.

mod mutations;

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};
use clap::Args;

use crate::workspace;
use mutations::{MUTATIONS, Mutation};

/// What is searched, and how far.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// How often a thread may be interrupted in one order.
    #[arg(long, default_value_t = 3)]
    preemptions: u32,
    /// Breaks the code on purpose instead, once for each model, and fails unless the model does.
    #[arg(long)]
    mutations: bool,
}

/// What CI searches.
pub(crate) fn run_default() -> Result<()> {
    run(&Options { preemptions: 3, mutations: false })
}

/// Runs the models, or breaks what they guard.
pub(crate) fn run(options: &Options) -> Result<()> {
    let root = workspace::root();
    if options.mutations { break_all(&root, options.preemptions) } else { run_models(&root, options.preemptions) }
}

/// Every model that guards something must have run and passed.
fn run_models(root: &Path, preemptions: u32) -> Result<()> {
    let (passed, output) = search(root, "target/loom", "", preemptions)?;
    print!("{output}");
    ensure!(passed, "a model failed");
    for Mutation { model, .. } in MUTATIONS {
        ensure!(output.contains(&format!("test {model} ... ok")), "model {model} did not run");
    }
    Ok(())
}

/// Breaks a copy of the workspace in one way after the other.
fn break_all(root: &Path, preemptions: u32) -> Result<()> {
    let copy = root.join("target/loom-mutants/tree");
    copy_sources(root, &copy)?;
    for mutation in MUTATIONS {
        let path = copy.join(mutation.file);
        let text = std::fs::read_to_string(&path).with_context(|| format!("reading {}", mutation.file))?;
        std::fs::write(&path, mutation.apply(&text)?)?;
        let (passed, output) = search(&copy, "../target", mutation.model, preemptions)?;
        std::fs::write(&path, text)?;
        ensure!(output.contains(&format!("test {} ...", mutation.model)), "it does not compile:\n{output}");
        if passed {
            bail!("model {} passes although {} is broken", mutation.model, mutation.file);
        }
        println!("{}: fails when {}", mutation.model, mutation.what);
    }
    Ok(())
}

/// Runs the models whose names contain `filter`. Returns whether all passed, and what they printed.
fn search(root: &Path, target: &str, filter: &str, preemptions: u32) -> Result<(bool, String)> {
    let args = ["test", "--release", "--package", "execmem-model", "--lib", "--target-dir", target, "--", filter];
    let mut command = Command::new("cargo");
    command.args(args).current_dir(root).env("RUSTFLAGS", "--cfg loom").env("RUST_BACKTRACE", "0");
    let output = command.env("LOOM_MAX_PREEMPTIONS", preemptions.to_string()).output().context("starting cargo")?;
    let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    Ok((output.status.success(), text))
}

/// Copies what git knows, so that the original is never broken.
fn copy_sources(root: &Path, copy: &Path) -> Result<()> {
    let listed = Command::new("git").args(["ls-files", "-z"]).current_dir(root).output().context("starting git")?;
    ensure!(listed.status.success(), "git does not list the files");
    let listed = String::from_utf8(listed.stdout).context("a file name")?;
    for file in listed.split_terminator('\0').filter(|file| root.join(file).is_file()) {
        let to = copy.join(file);
        std::fs::create_dir_all(to.parent().unwrap_or(copy))?;
        std::fs::copy(root.join(file), to).with_context(|| format!("copying {file}"))?;
    }
    Ok(())
}
