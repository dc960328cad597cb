//! `gen`: facts in TOML become committed Rust constants.
//!
//! The constants are checked by the compiler through `Table::new`; this only reads, resolves names and writes.

mod config;
mod emit;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};

use crate::workspace;

/// Writes, or with `check` compares, a file of constants for each `configs/arch/NAME.toml`.
pub(crate) fn run(check: bool) -> Result<()> {
    let root = workspace::root();
    let sources = workspace::files(&root.join("configs/arch"), "toml")?;
    ensure!(!sources.is_empty(), "configs/arch holds no tables");
    let mut stale = Vec::new();
    for source in &sources {
        let name = source.file_stem().and_then(|stem| stem.to_str()).context("a readable file name")?;
        let text = std::fs::read_to_string(source)?;
        let config = config::parse(&text).with_context(|| format!("in configs/arch/{name}.toml"))?;
        let code = format(&emit::file(&config, name))?;
        let target = target(&root, name);
        let is_current = std::fs::read_to_string(&target).is_ok_and(|committed| committed == code);
        if !is_current && check {
            stale.push(target.display().to_string());
        } else if !is_current {
            std::fs::write(&target, code).with_context(|| format!("writing {}", target.display()))?;
        }
    }
    if !stale.is_empty() {
        bail!("not in step with configs/arch, run `cargo xtask gen`: {}", stale.join(", "));
    }
    println!("{} architectures in step", sources.len());
    Ok(())
}

/// The file of constants: in the crate of the architecture, or in the one for those that have none.
fn target(root: &Path, name: &str) -> PathBuf {
    let own = root.join(format!("crates/arch-{name}"));
    if own.is_dir() {
        own.join("src/generated.rs")
    } else {
        root.join(format!("crates/arch-others/src/{}/generated.rs", name.replace('-', "_")))
    }
}

/// Formats code as `cargo fmt` would.
fn format(code: &str) -> Result<String> {
    let mut rustfmt = Command::new("rustfmt")
        .args(["--edition", "2024", "--config-path"])
        .arg(workspace::root())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("starting rustfmt")?;
    rustfmt.stdin.take().context("rustfmt's input")?.write_all(code.as_bytes())?;
    let output = rustfmt.wait_with_output()?;
    ensure!(output.status.success(), "rustfmt refused the generated code:\n{code}");
    Ok(String::from_utf8(output.stdout)?)
}
