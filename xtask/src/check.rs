//! `check`: what a push needs.

use anyhow::Result;

use crate::steps::{self, Step};
use crate::{generate, tidy};

/// In order: what is fast and fails often comes first.
pub(crate) const STEPS: &[Step] = &[
    Step::cargo("fmt", &["fmt", "--all", "--", "--check"]),
    Step::task("gen --check", || generate::run(true)),
    Step::task("tidy", tidy::run),
    Step::cargo("clippy", &["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]),
    Step::cargo("clippy no_std", &["clippy", "--package", "execmem", "--no-default-features", "--", "-D", "warnings"]),
    Step::cargo("build no_std", &["build", "--package", "execmem", "--no-default-features"]),
    Step::cargo("test", &["test", "--workspace"]),
    Step::cargo_with("doc", &["doc", "--workspace", "--no-deps"], &[("RUSTDOCFLAGS", "-D warnings")]),
];

/// Runs [`STEPS`].
pub(crate) fn run() -> Result<()> {
    steps::run(STEPS)
}
