//! Runs the command, and makes files that it reads.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

pub(crate) const SMALL: &str = "4096";
pub(crate) const LARGE: &str = "2097152";

/// The command with arguments, where no terminal and no moment is known.
pub(crate) fn command<S: AsRef<OsStr>>(arguments: &[S]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_execmem"));
    command.args(arguments).env_remove("COLUMNS").env_remove("SOURCE_DATE_EPOCH");
    command
}

/// What it says and with which status it ends.
pub(crate) fn run(arguments: &[&str]) -> Output {
    command(arguments).output().expect("the command")
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// What it prints when everything goes as asked.
pub(crate) fn succeed(arguments: &[&str]) -> String {
    let output = run(arguments);
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

/// What it says when it refuses, which is always with status 2.
pub(crate) fn refuse(arguments: &[&str]) -> String {
    let output = run(arguments);
    assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", text(&output.stdout));
    assert!(output.stdout.is_empty(), "{arguments:?}");
    text(&output.stderr)
}

/// A comparison as JSON.
pub(crate) fn compare(arguments: &[&str]) -> Value {
    let json = succeed(&[&["compare", "--json", "--calls", "50000"], arguments].concat());
    serde_json::from_str(&json).expect("JSON")
}

pub(crate) fn policy<'a>(comparison: &'a Value, name: &str) -> &'a Value {
    let policies = comparison["policies"].as_array().expect("policies");
    policies.iter().find(|policy| policy["name"] == name).expect(name)
}

pub(crate) fn count(value: &Value) -> u64 {
    value.as_u64().unwrap_or(0)
}

/// The names of all policies of a comparison.
pub(crate) fn names(comparison: &Value) -> Vec<&str> {
    let policies = comparison["policies"].as_array().expect("policies");
    policies.iter().map(|policy| policy["name"].as_str().expect("a name")).collect()
}

/// Everything that a comparison notes.
pub(crate) fn notes(comparison: &Value) -> String {
    let notes = comparison["notes"].as_array().expect("notes");
    notes.iter().map(|note| note.as_str().expect("text")).collect::<Vec<_>>().join("\n")
}

/// A place for a file of a test.
pub(crate) fn place(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(name)
}

/// A file of a test, as an argument.
pub(crate) fn file(name: &str, content: &str) -> String {
    let path = place(name);
    std::fs::write(&path, content).expect("a file");
    argument(&path)
}

pub(crate) fn argument(path: &Path) -> String {
    path.to_str().expect("UTF-8").to_owned()
}

/// A made-up `/proc/modules` of so many modules, the latest first. Sizes from 3 to about 100 pages.
pub(crate) fn proc_modules(modules: u64) -> String {
    let line = |index| {
        let bytes = (3 + index * 37 % 98) * 4096;
        format!("module_{index} {bytes} 0 - Live 0x0000000000000000\n")
    };
    (0..modules).rev().map(line).collect()
}

/// What bpftool says of so many made-up programs, from 60 to about 4000 bytes.
pub(crate) fn bpftool(programs: u64) -> String {
    let program = |id| {
        let bytes = 60 + id * 1237 % 4000;
        format!(r#"{{"id":{id},"type":"kprobe","name":"p{id}","tag":"{id:016x}","jited":true,"bytes_jited":{bytes}}}"#)
    };
    format!("[{}]", (1..=programs).map(program).collect::<Vec<_>>().join(","))
}

/// Bytes of the modules that [`proc_modules`] lists, in pages.
pub(crate) fn pages_of_modules(modules: u64) -> u64 {
    (0..modules).map(|index| 3 + index * 37 % 98).sum()
}
