//! Where things are, and how tools are called.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

/// The top folder of the workspace.
pub(crate) fn root() -> PathBuf {
    // Cargo says where at run time; two checkouts with one target folder may share the program.
    let package = std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    Path::new(&package).parent().map_or_else(PathBuf::new, Path::to_path_buf)
}

/// Where cargo puts what it builds.
pub(crate) fn output() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// A program that was built with the tests.
pub(crate) fn built(program: &str) -> String {
    output().join("debug").join(program).display().to_string()
}

/// The files below a folder with an extension, in order.
pub(crate) fn files(folder: &Path, extension: &str) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).with_context(|| format!("reading {}", folder.display()))? {
            let path = entry?.path();
            let is_build_output = path.file_name().is_some_and(|name| name == "target");
            if path.is_dir() && !is_build_output {
                folders.push(path);
            } else if path.extension().is_some_and(|found| found == extension) {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

/// Whether a program can be called.
pub(crate) fn is_installed(program: &str) -> bool {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&folders).any(|folder| folder.join(program).exists())
}

/// What builds that are measured have: a build by parts inlines less, and its stack is another.
pub(crate) const UNITS: (&str, &str) = ("CARGO_INCREMENTAL", "0");

/// Runs a command in the workspace and fails if it does.
pub(crate) fn run(program: &str, args: &[&str]) -> Result<()> {
    run_with(program, args, &[])
}

/// Runs a command in the workspace with more environment, and fails if it does.
pub(crate) fn run_with(program: &str, args: &[&str], environment: &[(&str, &str)]) -> Result<()> {
    println!("$ {program} {}", args.join(" "));
    let mut command = Command::new(program);
    command.args(args).current_dir(root()).envs(environment.iter().copied());
    let status = command.status().with_context(|| format!("starting {program}"))?;
    ensure!(status.success(), "{program} {} failed: {status}", args.join(" "));
    Ok(())
}
