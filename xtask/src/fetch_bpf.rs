//! `fetch-bpf`: compiled BPF programs of Debian packages, as real input for a compiler of them.
//!
//! Everything stays under `target/bpf/PACKAGE_VERSION/`; no content of a package enters the repository.

use std::fs;
use std::path::Path;

use anyhow::Result;

use crate::fetch_modules::apt::Apt;
use crate::fetch_modules::remove;
use crate::workspace;

/// Packages with objects in files of their own, and with objects inside programs.
const PACKAGES: [&str; 3] = ["libxdp1", "xdp-tests", "libbpf-tools"];

/// Fetches the packages unless they are there, and prints their folder as the last line.
pub(crate) fn run() -> Result<()> {
    let store = workspace::root().join("target/bpf");
    let apt = Apt::new(&store.join("apt"), "amd64", None)?;
    if PACKAGES.iter().any(|package| apt.find(Some(package)).is_err()) {
        apt.update()?;
    }
    PACKAGES.iter().try_for_each(|package| fetch(&apt, package, &store))?;
    println!("{}", store.display());
    Ok(())
}

fn fetch(apt: &Apt, package: &str, store: &Path) -> Result<()> {
    let archive = apt.find(Some(package))?;
    let folder = store.join(archive.stem());
    if folder.exists() {
        return Ok(());
    }
    let scratch = store.join("unfinished");
    remove(&scratch)?;
    fs::create_dir_all(&scratch)?;
    apt.download(&archive, &scratch)?;
    let content = scratch.join("content");
    let (from, to) = (scratch.join(&archive.file).display().to_string(), content.display().to_string());
    workspace::run("dpkg-deb", &["-x", &from, &to])?;
    fs::rename(&content, &folder)?;
    remove(&scratch)
}
