//! `coverage`: which share of the lines of a package its tests and the large suites execute. Lines of tests do not count.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::workspace;

/// A package's folder, and the least share of its lines, in percent.
const MEASURED: [(&str, usize); 4] =
    [("crates/range/src", 90), ("crates/types/src", 90), ("crates/engine/src", 90), ("crates/linux/src", 90)];

/// Whose tests run.
const TESTED: [&str; 5] = ["execmem-range", "execmem-types", "execmem", "execmem-linux", "execmem-tests"];

/// A file, and its lines of product: how many are executed, of how many.
#[derive(Debug, PartialEq, Eq)]
struct Covered {
    file: String,
    executed: usize,
    lines: usize,
}

/// Runs the tests with counters, prints the share of each package and its least covered files, and fails if a share is below
/// its bound.
pub(crate) fn run() -> Result<()> {
    ensure!(workspace::is_installed("cargo-llvm-cov"), "cargo install --locked cargo-llvm-cov, which is not installed");
    let llvm = llvm()?;
    let list = workspace::output().join("coverage.lcov").display().to_string();
    // Counters make programs slow, and tests of time fail: whether tests pass is not asked here.
    let mut arguments = vec!["llvm-cov", "--ignore-run-fail", "--lcov", "--output-path", &list];
    arguments.extend(TESTED.iter().flat_map(|package| ["--package", package]));
    let tools = ["llvm-cov", "llvm-profdata"].map(|tool| llvm.join(tool).display().to_string());
    workspace::run_with("cargo", &arguments, &[("LLVM_COV", &*tools[0]), ("LLVM_PROFDATA", &*tools[1])])?;
    let text = fs::read_to_string(&list).with_context(|| format!("reading {list}"))?;
    print(&read(&text, &workspace::root())?)
}

/// The folder of the LLVM that reads what this compiler counts: of the same version.
fn llvm() -> Result<PathBuf> {
    let output = Command::new("rustc").arg("-vV").output().context("starting rustc")?;
    let text = String::from_utf8(output.stdout).context("the version of rustc")?;
    let version = text.lines().find_map(|line| line.strip_prefix("LLVM version: ")).context("the version of LLVM")?;
    let major = version.split('.').next().unwrap_or_default();
    let folder = PathBuf::from(format!("/usr/lib/llvm-{major}/bin"));
    ensure!(folder.join("llvm-cov").is_file(), "{} has no llvm-cov: apt install llvm-{major}", folder.display());
    Ok(folder)
}

/// The files of measured packages in a list of the format lcov.
fn read(text: &str, root: &Path) -> Result<Vec<Covered>> {
    let mut files = Vec::new();
    let mut product = 0;
    for line in text.lines() {
        if let Some(path) = line.strip_prefix("SF:") {
            let file = Path::new(path).strip_prefix(root).unwrap_or(Path::new(path)).display().to_string();
            if is_measured(&file) {
                let source = fs::read_to_string(path).with_context(|| format!("reading {path}"))?;
                product = lines_of_product(&source);
            }
            files.push(Covered { file, executed: 0, lines: 0 });
        } else if let (Some(data), Some(file)) = (line.strip_prefix("DA:"), files.last_mut()) {
            let mut numbers = data.split(',').map(str::parse::<usize>);
            let (Some(Ok(number)), Some(Ok(count))) = (numbers.next(), numbers.next()) else { continue };
            file.lines += usize::from(number <= product);
            file.executed += usize::from(number <= product && count > 0);
        }
    }
    files.retain(|file| is_measured(&file.file));
    Ok(files)
}

fn is_measured(file: &str) -> bool {
    let is_test = file.ends_with("/tests.rs") || file.contains("/tests/");
    !is_test && MEASURED.iter().any(|(folder, _)| file.starts_with(folder))
}

/// How many lines come before the tests of a file, which are last.
fn lines_of_product(source: &str) -> usize {
    let lines: Vec<_> = source.lines().collect();
    let is_module = |line: &&str| line.starts_with("mod ") && line.ends_with('{');
    // Attributes may stand between.
    let is_start = |few: &[&str]| few[0] == "#[cfg(test)]" && few[1..].iter().any(is_module);
    lines.windows(3).position(is_start).unwrap_or(lines.len())
}

fn print(files: &[Covered]) -> Result<()> {
    let mut low = Vec::new();
    for (folder, least) in MEASURED {
        let mut own: Vec<_> = files.iter().filter(|file| file.file.starts_with(folder)).collect();
        own.sort_by_key(|file| file.executed * 1000 / file.lines.max(1));
        let sum = |part: fn(&Covered) -> usize| own.iter().map(|file| part(file)).sum::<usize>();
        let (executed, lines) = (sum(|file| file.executed), sum(|file| file.lines));
        ensure!(lines > 0, "no line of {folder} was counted");
        let permille = executed * 1000 / lines;
        println!("{folder}: {executed} of {lines} lines, {}.{} %", permille / 10, permille % 10);
        for file in own.iter().take(5) {
            println!("  {} of {} lines in {}", file.executed, file.lines, file.file);
        }
        if permille < least * 10 {
            low.push(folder);
        }
    }
    ensure!(low.is_empty(), "less than their bound: {}", low.join(", "));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_tests_do_not_count() {
        assert_eq!(lines_of_product("fn a() {}\n\n#[cfg(test)]\nmod tests {\n}\n"), 2);
        // A module in a file of its own, and no tests.
        assert_eq!(lines_of_product("#[cfg(test)]\nmod tests;\nfn a() {}\n"), 3);
        assert!(!is_measured("crates/range/src/tests/named.rs") && !is_measured("crates/sim/src/lib.rs"));
    }

    #[test]
    fn a_list_is_read_by_file() {
        let root = workspace::root();
        let file = "crates/range/src/lib.rs";
        let of_file = format!("SF:{}\nDA:1,3\nDA:2,0\nDA:3,1\nend_of_record\n", root.join(file).display());
        let text = format!("SF:/elsewhere.rs\nDA:1,1\nend_of_record\n{of_file}");
        let expected = Covered { file: file.to_owned(), executed: 2, lines: 3 };
        assert_eq!(read(&text, &root).expect("a list"), [expected]);
    }
}
