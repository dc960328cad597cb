//! Instructions per pair of an allocation and a free, counted by valgrind: exact where time is not.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};

use crate::bench::Bench;
use crate::rounds::child_args;

/// Pairs that are counted.
const PAIRS: usize = 20_000;
/// What is run if nothing is asked for.
const DEFAULT: &str = "T1";

/// Prints the instructions of execmem and of its floor for each bench that can be cut to a number of pairs.
pub(crate) fn run(benches: &[Bench], only_default: bool) -> Result<()> {
    let is_here = Command::new("valgrind").arg("--version").stdout(Stdio::null()).status().is_ok();
    ensure!(is_here, "`valgrind` is not installed; instructions cannot be counted without it");
    for bench in benches.iter().filter(|bench| !only_default || bench.name == DEFAULT) {
        let is_floor = |peer: &str| matches!(peer, "heap" | "btree");
        let is_ours = |peer: &str| matches!(peer, "execmem" | "execmem-range");
        for peer in bench.peers.iter().filter(|peer| is_ours(peer) || is_floor(peer)) {
            let file = profile(bench, peer)?;
            let fill = file.with_extension("fill");
            let (without, with) = (count(bench, peer, 0, &fill)?, count(bench, peer, PAIRS, &file)?);
            println!("{} {peer}: {} instructions per pair", bench.name, with.saturating_sub(without) / PAIRS as u64);
            println!("  profile: callgrind_annotate {}", file.display());
        }
    }
    Ok(())
}

/// Where the profile of a run goes: below the folder of build output.
fn profile(bench: &Bench, peer: &str) -> Result<PathBuf> {
    let program = std::env::current_exe()?;
    let folder = program.parent().and_then(Path::parent).context("a folder of build output")?.join("callgrind");
    std::fs::create_dir_all(&folder)?;
    Ok(folder.join(format!("{}-{peer}.out", bench.name.replace('/', "-"))))
}

/// Instructions of a run with `steps` pairs after the fill.
fn count(bench: &Bench, peer: &str, steps: usize, file: &Path) -> Result<u64> {
    let mut command = Command::new("valgrind");
    // Code arrives through another mapping than the one it is executed in, which valgrind would not notice.
    command.args(["--tool=callgrind", "--smc-check=all"]);
    command.arg(format!("--callgrind-out-file={}", file.display()));
    command.arg(std::env::current_exe()?).args(child_args(bench, peer, "bare", false));
    let output = command.args(["--steps", &steps.to_string()]).output()?;
    let text = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{} failed on {peer} under valgrind: {text}", bench.name);
    // ==42== Collected : 1234567
    let collected = text.lines().find_map(|line| line.split_once("Collected : ")).context("what valgrind collected")?;
    Ok(collected.1.trim().parse()?)
}
