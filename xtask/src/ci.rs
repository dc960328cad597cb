//! `ci`: exactly what CI runs, so that a failure there can be repeated here.

use anyhow::Result;

use crate::check;
use crate::steps::{self, Step};

/// What CI runs after [`check::STEPS`], in order: one line a step. The tests have run by then.
const MORE: &[Step] = &[];

/// Runs the steps of `check` and [`MORE`].
pub(crate) fn run() -> Result<()> {
    steps::run(check::STEPS.iter().chain(MORE))
}
