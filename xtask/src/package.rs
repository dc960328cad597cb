//! `package`: makes the packages that can be published, and uses them as a newcomer would.
//!
//! A package says everything that a registry shows, holds its licences and all that it reads, and asks for no newer compiler
//! than what it depends on does. The first examples of README and of the crates' front pages compile outside the workspace
//! against the packages, and run.

mod newcomer;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, Package, PackageId};
use clap::Args;

use crate::workspace;

/// What to do with the packages.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Also compile each package by itself, as a registry's users get it: takes minutes.
    #[arg(long)]
    verify: bool,
}

/// Files that every package holds.
const FILES: [&str; 4] = ["Cargo.toml", "LICENSE-APACHE", "LICENSE-MIT", "README.md"];

/// Dependencies count that are compiled for Linux: no model checker, nothing of other systems.
const FOR_LINUX: [&str; 2] = ["--filter-platform", "x86_64-unknown-linux-gnu"];

/// What CI runs.
pub(crate) fn run_quick() -> Result<()> {
    run(&Options { verify: false })
}

/// Checks what packages say, makes them, and uses them.
pub(crate) fn run(options: &Options) -> Result<()> {
    let mut command = MetadataCommand::new();
    command.current_dir(workspace::root()).other_options(FOR_LINUX.map(str::to_owned));
    let metadata = command.exec().context("reading the workspace")?;
    let published: Vec<_> = metadata.workspace_packages().into_iter().filter(|package| is_published(package)).collect();
    ensure!(published.len() >= 15, "only {} packages would be published", published.len());
    let mut wrong: Vec<_> = published.iter().flat_map(|package| missing(package)).collect();
    wrong.extend(published.iter().flat_map(|package| newer_than(&metadata, package)));
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    make(&published, options.verify)?;
    let folders = published.iter().map(|package| unpack(package)).collect::<Result<Vec<_>>>()?;
    println!("{} packages are made; no dependency asks for a newer compiler than they do", folders.len());
    newcomer::run(&folders)
}

/// Whether a registry would get it.
pub(crate) fn is_published(package: &Package) -> bool {
    package.publish.as_ref().is_none_or(|registries| !registries.is_empty())
}

/// What a package does not say.
fn missing(package: &Package) -> Vec<String> {
    let said = [
        ("description", package.description.is_some()),
        ("keywords", (1..=5).contains(&package.keywords.len())),
        ("categories", (1..=5).contains(&package.categories.len())),
        ("repository", package.repository.is_some()),
        ("readme", package.readme.is_some()),
        ("license", package.license.is_some()),
        ("rust-version", package.rust_version.is_some()),
        ("[package.metadata.docs.rs]", package.metadata.pointer("/docs/rs").is_some()),
    ];
    let silent = said.into_iter().filter(|(_, is_said)| !is_said);
    let own = silent.map(|(what, _)| format!("{}: no {what}", package.name));
    let ships = package.dependencies.iter().filter(|dependency| dependency.kind != DependencyKind::Development);
    let versionless = ships.filter(|dependency| dependency.path.is_some() && dependency.req.comparators.is_empty());
    own.chain(versionless.map(|dependency| format!("{}: {} has no version", package.name, dependency.name))).collect()
}

/// Dependencies, also of dependencies, that ask for a newer compiler than the package says.
fn newer_than(metadata: &Metadata, package: &Package) -> Vec<String> {
    let mut seen = BTreeSet::<&PackageId>::new();
    let mut open = vec![&package.id];
    while let Some(id) = open.pop() {
        let nodes = metadata.resolve.iter().flat_map(|resolve| &resolve.nodes);
        let dependencies = nodes.filter(|node| node.id == *id).flat_map(|node| &node.deps);
        let ships = dependencies
            .filter(|dependency| dependency.dep_kinds.iter().any(|kind| kind.kind == DependencyKind::Normal));
        open.extend(ships.map(|dependency| &dependency.pkg).filter(|id| seen.insert(id)));
    }
    let newer = seen.into_iter().map(|id| &metadata[id]).filter(|other| other.rust_version > package.rust_version);
    let says = |other: &Package| {
        let version = other.rust_version.as_ref().map_or_else(String::new, ToString::to_string);
        format!("{}: {} asks for Rust {version}, which is newer than what it says", package.name, other.name)
    };
    newer.map(says).collect()
}

/// Makes the packages of all of them at once, since they depend on each other.
fn make(packages: &[&Package], verify: bool) -> Result<()> {
    let mut args = vec!["package", "--quiet", "--allow-dirty"];
    if !verify {
        args.push("--no-verify");
    }
    args.extend(packages.iter().flat_map(|package| ["--package", package.name.as_str()]));
    workspace::run("cargo", &args)
}

/// Unpacks a package, and checks that it has the files that every package has.
fn unpack(package: &Package) -> Result<PathBuf> {
    let name = format!("{}-{}", package.name, package.version);
    let into = workspace::output().join("package/unpacked");
    let folder = into.join(&name);
    if folder.exists() {
        std::fs::remove_dir_all(&folder)?;
    }
    std::fs::create_dir_all(&into)?;
    let archive = workspace::output().join("package").join(format!("{name}.crate"));
    let status = Command::new("tar").arg("xzf").arg(&archive).arg("-C").arg(&into).status().context("starting tar")?;
    ensure!(status.success(), "{} is no package", archive.display());
    let lacks = FILES.into_iter().filter(|file| !is_file(&folder.join(file)));
    let lacks: Vec<_> = lacks.collect();
    ensure!(lacks.is_empty(), "{name} lacks {}", lacks.join(", "));
    Ok(folder)
}

/// Whether there is a file, and no link that leads out of a package.
fn is_file(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|metadata| metadata.is_file())
}
