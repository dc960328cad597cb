//! `deny`: licences, sources and duplicates of dependencies, where cargo-deny is installed.

use anyhow::Result;

use crate::{skips, workspace};

/// Checks what needs no network: `cargo deny check` by hand also asks for advisories.
pub(crate) fn run_possible() -> Result<()> {
    let is_installed = workspace::is_installed("cargo-deny");
    let need = skip::condition(is_installed, "cargo-deny is not installed: cargo install cargo-deny --locked");
    if skips::note("deny", &[need])? {
        workspace::run("cargo", &["deny", "check", "bans", "licenses", "sources"])?;
    }
    Ok(())
}
