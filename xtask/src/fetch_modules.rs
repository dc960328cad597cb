//! `fetch-modules`: the kernel modules of a Debian package, as real input for the loader.
//!
//! Everything stays under `target/modules/ARCH/PACKAGE_VERSION/`; no content of a package enters the repository.

pub(crate) mod apt;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use clap::Args;

use crate::workspace;
use apt::Apt;

/// Where a kernel package keeps `RELEASE/kernel/**/*.ko`: since Debian 13, and before.
const MODULE_FOLDERS: [&str; 2] = ["usr/lib/modules", "lib/modules"];

/// Which modules.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Architecture, as Debian names it.
    #[arg(long, default_value = "amd64")]
    arch: String,
    /// Kernel image package. By default, the one that `linux-image-ARCH` depends on.
    #[arg(long)]
    package: Option<String>,
    /// Release of Debian to take it from, `trixie` say. By default, those that this system's apt knows; not every
    /// architecture is in every release.
    #[arg(long)]
    suite: Option<String>,
}

/// Architectures and releases of the modules that CI loads.
const DEFAULTS: [(&str, Option<&str>); 3] = [("amd64", None), ("arm64", Some("trixie")), ("riscv64", Some("trixie"))];

/// Fetches the modules that CI loads.
pub(crate) fn run_default() -> Result<()> {
    DEFAULTS.iter().try_for_each(|(arch, suite)| {
        run(&Options { arch: (*arch).into(), package: None, suite: suite.map(Into::into) })
    })
}

/// Fetches the modules unless they are there, and prints their folder as the last line.
pub(crate) fn run(options: &Options) -> Result<()> {
    for name in options.package.iter().chain(&options.suite).chain([&options.arch]) {
        ensure!(is_debian_name(name), "`{name}` is no name of a Debian package, release or architecture");
    }
    let store = workspace::root().join("target/modules").join(&options.arch);
    let suite = options.suite.as_deref();
    let apt =
        Apt::new(&store.join(suite.map_or("apt".to_owned(), |suite| format!("apt-{suite}"))), &options.arch, suite)?;
    let package = options.package.as_deref();
    // What an earlier call found and unpacked will do, and needs no network.
    let earlier = apt.find(package).ok().and_then(|archive| modules(&store.join(archive.stem())));
    let modules = match earlier {
        Some(modules) => modules,
        None => fetch(&apt, package, &store)?,
    };
    println!("{}", modules.display());
    Ok(())
}

/// Asks the mirror what it has, and downloads that unless it is there. Returns the folder of the modules.
fn fetch(apt: &Apt, package: Option<&str>, store: &Path) -> Result<PathBuf> {
    apt.update()?;
    let archive = apt.find(package)?;
    let folder = store.join(archive.stem());
    if modules(&folder).is_none() {
        let scratch = store.join("unfinished");
        remove(&scratch)?;
        fs::create_dir_all(&scratch)?;
        let outcome = apt.download(&archive, &scratch).and_then(|()| unpack(&scratch, &archive.file, &folder));
        remove(&scratch)?;
        outcome?;
    }
    modules(&folder).with_context(|| format!("no modules in {}", folder.display()))
}

/// Unpacks the modules of an archive. The folder appears at once and complete, or not at all.
fn unpack(scratch: &Path, file: &str, folder: &Path) -> Result<()> {
    let content = scratch.join("content");
    let (from, to) = (scratch.join(file), content.display().to_string());
    workspace::run("dpkg-deb", &["-x", &from.display().to_string(), &to])?;
    let modules = MODULE_FOLDERS.map(|modules| content.join(modules));
    let modules = modules.iter().find(|modules| modules.is_dir());
    let modules = modules.with_context(|| format!("{file} holds no modules; name another --package"))?;
    let complete = scratch.join("complete");
    fs::create_dir_all(complete.join("lib"))?;
    fs::rename(modules, complete.join("lib/modules"))?;
    remove(folder)?;
    fs::rename(&complete, folder).with_context(|| format!("creating {}", folder.display()))
}

/// The folder in an unpacked package that holds the `.ko` files.
fn modules(folder: &Path) -> Option<PathBuf> {
    let releases = fs::read_dir(folder.join("lib/modules")).ok()?;
    let mut folders = releases.filter_map(|release| Some(release.ok()?.path().join("kernel")));
    folders.find(|folder| folder.is_dir())
}

pub(crate) fn remove(folder: &Path) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder).with_context(|| format!("removing {}", folder.display()))?;
    }
    Ok(())
}

/// Debian Policy 5.6.7; such a name is also a safe argument and a safe folder.
fn is_debian_name(name: &str) -> bool {
    let is_first = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    name.starts_with(is_first) && name.chars().all(|c| is_first(c) || "+-.".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_options_or_paths_are_refused() {
        assert!(is_debian_name("linux-image-6.1.0-48-amd64"));
        for name in ["", "-oDir=x", "../x", "a/b", "A"] {
            assert!(!is_debian_name(name), "{name}");
        }
    }
}
