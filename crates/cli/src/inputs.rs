//! Files that people have: one reader a format, each with the command that makes the file.
//!
//! | option | what it is | made by |
//! |---|---|---|
//! | `--proc-modules` | loaded modules with their bytes | `cat /proc/modules`, or `lsmod` |
//! | `--modules` | a tree of module files | `/lib/modules/$(uname -r)` |
//! | `--kallsyms` | where code and data lie now | `sudo cat /proc/kallsyms` |
//! | `--bpftool` | BPF programs with their bytes | `sudo bpftool prog show -j` |
//! | `--csv` | a table of one's own | any editor |
//! | `--trace` | loads and unloads in time | ftrace or bpftrace, see [`trace`] |
//! | `--maps` | executable memory of a process | `cat /proc/PID/maps` |
//! | `--perf-map` | functions of a JIT | the JIT, as `/tmp/perf-PID.map` |
//!
//! Every reader takes text and returns facts ([`crate::survey::facts`]), or an error that names the line. None believes a
//! number: what is longer than [`MOST_BYTES`] is refused before anything is made of it.

pub(crate) mod bpftool;
pub(crate) mod csv;
pub(crate) mod kallsyms;
pub(crate) mod maps;
pub(crate) mod module_file;
pub(crate) mod perf_map;
pub(crate) mod proc_modules;
pub(crate) mod trace;

use std::io::Read as _;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};

/// The most bytes that one module, program or function may say it has. The largest module there is has 12 MiB.
pub(crate) const MOST_BYTES: u64 = 256 << 20;
/// The most bytes of one mapping of a process.
pub(crate) const MOST_REGION_BYTES: u64 = 1 << 30;
/// The most bytes of a file that is read as text.
const MOST_TEXT: u64 = 256 << 20;

/// Refuses a length that nothing real has.
pub(crate) fn check_bytes(bytes: u64, most: u64) -> Result<()> {
    ensure!(bytes <= most, "{bytes} bytes are more than {} MiB, which nothing has", most >> 20);
    Ok(())
}

/// The text of a file. Bytes that are no UTF-8 become U+FFFD.
///
/// # Errors
///
/// It cannot be read, or is longer than 256 MiB.
pub(crate) fn read_text(path: &Path) -> Result<String> {
    let read = || -> Result<String> {
        let mut bytes = Vec::new();
        std::fs::File::open(path)?.take(MOST_TEXT + 1).read_to_end(&mut bytes)?;
        ensure!(bytes.len() as u64 <= MOST_TEXT, "it has more than {} MiB", MOST_TEXT >> 20);
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    read().with_context(|| format!("reading {}", path.display()))
}

/// Reads a file by one of the readers.
///
/// # Errors
///
/// The file cannot be read, or the reader refuses it.
pub(crate) fn read<T>(path: &Path, reader: impl FnOnce(&str) -> Result<T>) -> Result<T> {
    reader(&read_text(path)?).with_context(|| format!("in {}", path.display()))
}

/// Applies a reader of single lines to all that are not empty, and says which line was wrong.
fn each_line<'a>(text: &'a str, mut reader: impl FnMut(&'a str) -> Result<()>) -> Result<()> {
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if !line.is_empty() {
            reader(line).with_context(|| format!("line {number}"))?;
        }
    }
    Ok(())
}

/// A length in bytes.
fn bytes_of(text: &str) -> Result<u64> {
    let bytes = text.parse().with_context(|| format!("`{}` is no number of bytes", text.escape_debug()))?;
    check_bytes(bytes, MOST_BYTES)?;
    Ok(bytes)
}

/// An address in hexadecimal, with or without `0x`.
fn address_of(text: &str) -> Result<u64> {
    let digits = text.strip_prefix("0x").unwrap_or(text);
    u64::from_str_radix(digits, 16).with_context(|| format!("`{}` is no address", text.escape_debug()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_line_is_named_and_absurd_lengths_are_refused() {
        let error = each_line("1\n\n2\nx", |line| bytes_of(line).map(drop)).expect_err("no number");
        assert_eq!(format!("{error:#}"), "line 4: `x` is no number of bytes: invalid digit found in string");
        assert!(bytes_of("268435457").is_err() && bytes_of("18446744073709551616").is_err());
        assert_eq!(address_of("0xff").expect("an address"), address_of("ff").expect("an address"));
        assert!(read_text(Path::new("/no/such/file")).is_err());
    }
}
