//! `check`: what a push needs.

use anyhow::Result;

use crate::steps::{self, Step};
use crate::{attacks, generate, skips, tidy};

/// In order: what is fast and fails often comes first.
pub(crate) const STEPS: &[Step] = &[
    Step::cargo("fmt", &["fmt", "--all", "--", "--check"]),
    Step::cargo("fmt outside", &["fmt", "--manifest-path", "tests/outside/Cargo.toml", "--", "--check"]),
    Step::cargo("fmt inkwell", &["fmt", "--manifest-path", "tests/inkwell/Cargo.toml", "--", "--check"]),
    Step::task("gen --check", || generate::run(true)),
    Step::task("tidy", tidy::run),
    Step::task("attacks", attacks::run),
    Step::cargo("clippy", &["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]),
    Step::cargo("clippy no_std", &["clippy", "--package", "execmem", "--no-default-features", "--", "-D", "warnings"]),
    Step::cargo("build no_std", &["build", "--package", "execmem", "--no-default-features"]),
    Step::cargo_with("doc", &["doc", "--workspace", "--no-deps"], &[("RUSTDOCFLAGS", "-D warnings")]),
    Step::cargo("test", &["test", "--workspace"]),
];

/// Runs [`STEPS`], and lists what was skipped meanwhile.
pub(crate) fn run() -> Result<()> {
    skips::forget()?;
    let outcome = steps::run(STEPS);
    skips::print()?;
    outcome
}
