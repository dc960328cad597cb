//! The copy of the sources in which mutants are made: the caller's own are never touched, and what no mutant changes is built
//! once.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::workspace;

/// Makes the copy what the sources are, and returns its folder. A file that is the same stays as it is, so that nothing of it
/// is built again; one in which an interrupted run left a mutant differs.
pub(super) fn copy() -> Result<PathBuf> {
    let (from, to) = (workspace::root(), workspace::output().join("mutants/tree"));
    let files = sources(&from)?;
    for file in &files {
        copy_file(&from.join(file), &to.join(file))?;
    }
    for file in sources_of_last_time(&to).difference(&files) {
        // It may have gone already.
        let _ = fs::remove_file(to.join(file));
    }
    let list: Vec<_> = files.into_iter().collect();
    fs::write(to.join(LIST), list.join("\n")).context("writing the list of sources")?;
    Ok(to)
}

/// Where the copy says what it has.
const LIST: &str = "sources";

/// The files that git has, or would have, of a folder.
fn sources(folder: &Path) -> Result<BTreeSet<String>> {
    let arguments = ["ls-files", "--cached", "--others", "--exclude-standard"];
    let git = Command::new("git").args(arguments).current_dir(folder).output().context("starting git")?;
    ensure!(git.status.success(), "git ls-files: {}", String::from_utf8_lossy(&git.stderr));
    let list = String::from_utf8(git.stdout).context("the names of files")?;
    Ok(list.lines().filter(|file| folder.join(file).is_file()).map(str::to_owned).collect())
}

fn sources_of_last_time(copy: &Path) -> BTreeSet<String> {
    let list = fs::read_to_string(copy.join(LIST)).unwrap_or_default();
    list.lines().map(str::to_owned).collect()
}

fn copy_file(from: &Path, to: &Path) -> Result<()> {
    let bytes = fs::read(from).with_context(|| format!("reading {}", from.display()))?;
    if fs::read(to).is_ok_and(|copied| copied == bytes) {
        return Ok(());
    }
    let folder = to.parent().context("a file in a folder")?;
    fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    // With its rights: scripts are executed. Its time is now, whatever it was before: what is built of it is older.
    fs::copy(from, to).with_context(|| format!("copying {} to {}", from.display(), to.display()))?;
    Ok(())
}
