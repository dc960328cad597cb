//! `inkwell`: code of LLVM in execmem's memory, by way of a crate whose features name the release of LLVM that is installed.

use std::path::Path;
use std::process::Command;

use anyhow::Result;

use crate::{skips, workspace};

/// The crate, outside the workspace: it does not compile without LLVM.
const MANIFEST: &str = "tests/inkwell/Cargo.toml";

/// Runs it where LLVM is installed.
pub(crate) fn run_possible() -> Result<()> {
    let header = Path::new(&ask("--includedir")).join("llvm-c/Core.h");
    let has_headers = skip::condition(header.exists(), "no headers of LLVM: apt-get install llvm-dev");
    if skips::note("inkwell", &[has_headers])? {
        let output = workspace::output().join("inkwell");
        let (output, feature) = (output.to_string_lossy(), feature(&ask("--version")));
        let args = ["run", "--quiet", "--manifest-path", MANIFEST, "--target-dir", &output, "--features", &feature];
        workspace::run("cargo", &args)?;
    }
    Ok(())
}

/// What LLVM says of itself; nothing if it is not installed.
fn ask(what: &str) -> String {
    let output = Command::new("llvm-config").arg(what).output();
    output.map_or_else(|_| String::new(), |output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// The feature of inkwell for a release: its first minor release is 1 since LLVM 18.
fn feature(version: &str) -> String {
    let major = version.split_once('.').map_or(version, |(major, _)| major);
    let minor = u8::from(major.parse::<u32>().is_ok_and(|major| major >= 18));
    format!("inkwell/llvm{major}-{minor}-prefer-dynamic")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_have_features() {
        assert_eq!(feature("14.0.6"), "inkwell/llvm14-0-prefer-dynamic");
        assert_eq!(feature("22.1.8"), "inkwell/llvm22-1-prefer-dynamic");
    }
}
