//! `msrv`: compiles each package that is published with the oldest compiler that it says it takes, where rustup has that one.

use std::collections::BTreeMap;
use std::process::Command;

use anyhow::{Context as _, Result};
use cargo_metadata::{MetadataCommand, Package};

use crate::package::is_published;
use crate::{skips, workspace};

/// Compiles what each installed compiler of the packages takes, into a folder of its own: what the workspace's compiler built
/// stays as it is.
pub(crate) fn run_possible() -> Result<()> {
    let mut command = MetadataCommand::new();
    let metadata = command.current_dir(workspace::root()).no_deps().exec().context("reading the workspace")?;
    let here = toolchain("rustc", &["--version"]);
    let installed = toolchain("rustup", &["toolchain", "list"]);
    let folder = workspace::output().join("msrv").display().to_string();
    for (version, packages) in by_version(&metadata.workspace_packages()) {
        if is_of(&here, "rustc ", &version) {
            println!("{} packages ask for Rust {version}, which compiles the tests", packages.len());
            continue;
        }
        let is_installed = installed.lines().any(|line| is_of(line, "", &version));
        let how = format!("no older compiler: rustup toolchain install {version} --profile minimal");
        let need = skip::condition(is_installed, &how);
        if skips::note(&format!("msrv: {version}"), &[need])? {
            let toolchain = format!("+{version}");
            let mut args = vec![&toolchain, "check", "--quiet", "--target-dir", &folder];
            args.extend(packages.iter().flat_map(|name| ["--package", name.as_str()]));
            workspace::run("cargo", &args)?;
        }
    }
    Ok(())
}

/// The names of published packages by the oldest compiler that they take, as `1.89`.
fn by_version(packages: &[&Package]) -> BTreeMap<String, Vec<String>> {
    let mut versions = BTreeMap::<_, Vec<_>>::new();
    for package in packages.iter().filter(|package| is_published(package)) {
        if let Some(version) = &package.rust_version {
            let version = format!("{}.{}", version.major, version.minor);
            versions.entry(version).or_default().push(package.name.to_string());
        }
    }
    versions
}

/// What a program of the toolchain prints. Nothing if it is not there.
fn toolchain(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).output();
    output.map_or_else(|_| String::new(), |output| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Whether a line names a version, as `rustc 1.89.0 (…)` or `1.89-x86_64-unknown-linux-gnu`.
fn is_of(line: &str, before: &str, version: &str) -> bool {
    let rest = line.strip_prefix(before).and_then(|line| line.strip_prefix(version));
    rest.is_some_and(|rest| rest.starts_with(['.', '-', ' ']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_the_whole_of_two_numbers() {
        assert!(is_of("rustc 1.89.0 (29483883e 2025-08-04)", "rustc ", "1.89"));
        assert!(is_of("1.89-x86_64-unknown-linux-gnu", "", "1.89"));
        assert!(is_of("1.89.0-x86_64-unknown-linux-gnu (active)", "", "1.89"));
        assert!(
            !is_of("rustc 1.895.0", "rustc ", "1.89") && !is_of("stable-x86_64", "", "1.89") && !is_of("", "", "1.89")
        );
    }
}
