//! Starts valgrind, and reads what it wrote.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};

use crate::profile::{Counts, Program};
use crate::work::{CALL, CLASSES, DONE, VERBS};

/// The counts of all calls of each verb, for each size.
pub(crate) fn count() -> Result<Vec<[Counts; VERBS.len()]>> {
    let is_here = Command::new("valgrind").arg("--version").stdout(Stdio::null()).status().is_ok();
    ensure!(is_here, "`valgrind` is not installed; instructions cannot be counted without it");
    let folder = folder()?;
    let file = folder.join("calls.out");
    let mut command = Command::new("valgrind");
    command.args(["--tool=callgrind", "--collect-atstart=no", "--dump-instr=yes", "--dump-line=yes"]);
    command.args(["--compress-pos=no", "--compress-strings=no"]);
    command.args([format!("--toggle-collect={CALL}*"), format!("--dump-before={DONE}")]);
    command.arg(format!("--callgrind-out-file={}", file.display()));
    let program = std::env::current_exe()?;
    let output = command.arg(&program).arg("--work").output()?;
    ensure!(output.status.success(), "the calls failed: {}", String::from_utf8_lossy(&output.stderr));
    let program = Program::read(&program)?;
    let mut parts = (1..).map(|number| counts_of(&program, &file, number));
    let mut next = || parts.next().context("a profile")?;
    CLASSES.iter().map(|_| array(&mut next)).collect()
}

fn array<T, const N: usize>(next: &mut impl FnMut() -> Result<T>) -> Result<[T; N]> {
    let items = (0..N).map(|_| next()).collect::<Result<Vec<_>>>()?;
    items.try_into().ok().context("as many as were made")
}

/// What valgrind wrote when the calls of a verb were done.
fn counts_of(program: &Program, file: &Path, number: usize) -> Result<Counts> {
    let file = format!("{}.{number}", file.display());
    let text = std::fs::read_to_string(&file).with_context(|| format!("reading {file}"))?;
    program.counts(&text)
}

/// An empty folder below that of build output.
fn folder() -> Result<PathBuf> {
    let program = std::env::current_exe()?;
    let folder = program.parent().and_then(Path::parent).context("a folder of build output")?.join("instructions");
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder)?;
    Ok(folder)
}
