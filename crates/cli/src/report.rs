//! `execmem report`: one policy on one load, drawn.

use std::path::Path;

use anyhow::{Context as _, Result};

use crate::args::{CompareOptions, ReportOptions};
use crate::{compare, html, picture};

/// Calls for the translation caches of the page's tables.
const CALLS: u64 = 50_000;

/// Runs the policy and writes what is wanted.
pub(crate) fn run(options: &ReportOptions) -> Result<()> {
    let comparison = compare::measure(&CompareOptions {
        load: options.load.clone(),
        arch: options.arch.clone(),
        policies: vec![options.policy.clone()],
        churn: 0,
        calls: CALLS,
        unmapped: false,
        large_pages: None,
        window: None,
        parallel: 1,
        pressure: None,
        json: false,
        html: None,
    })?;
    let outcome = comparison.policies.first().context("a policy")?;
    if let Some(file) = &options.html {
        write(file, html::report(&comparison, "execmem report")?.as_bytes())?;
    }
    let title = format!("{} on {} modules of {}", outcome.name, comparison.load.modules, comparison.load.modules_of);
    let svg = picture::svg(&title, &outcome.map);
    if let Some(file) = &options.svg {
        write(file, svg.as_bytes())?;
    }
    if let Some(file) = &options.png {
        write(file, &picture::png(&svg)?)?;
    }
    Ok(())
}

/// Writes a file, and says which if it cannot.
pub(crate) fn write(file: &Path, content: &[u8]) -> Result<()> {
    std::fs::write(file, content).with_context(|| format!("writing {}", file.display()))
}
