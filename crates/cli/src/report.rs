//! `execmem report`: one policy on one load, drawn.

use std::process::ExitCode;

use anyhow::{Context as _, Result};

use crate::args::{CompareOptions, ReportOptions};
use crate::output::OutputFile;
use crate::{compare, html, picture};

/// Calls for the translation caches of the page's tables.
const CALLS: u64 = 50_000;

/// Runs the policy and writes what is wanted.
pub(crate) fn run(options: &ReportOptions) -> Result<ExitCode> {
    let page = OutputFile::open_if(options.html.as_ref())?;
    let drawing = OutputFile::open_if(options.svg.as_ref())?;
    let pixels = OutputFile::open_if(options.png.as_ref())?;
    if pixels.is_some() {
        picture::check_pixels()?;
    }
    let comparison = compare::measure(&CompareOptions {
        load: options.load.clone(),
        policies: vec![options.policy.clone()],
        churn: None,
        calls: CALLS,
        unmapped: false,
        large_pages: None,
        window: None,
        parallel: 1,
        pressure: None,
        json: false,
        html: None,
    })?;
    if let Some(page) = page {
        page.write(html::report(&comparison)?.as_bytes())?;
    }
    let outcome = comparison.policies.first().context("a policy")?;
    let svg = picture::svg(&comparison, outcome);
    if let Some(drawing) = drawing {
        drawing.write(svg.as_bytes())?;
    }
    if let Some(pixels) = pixels {
        pixels.write(&picture::png(&svg)?)?;
    }
    Ok(compare::status(&comparison))
}
