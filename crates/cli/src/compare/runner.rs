//! Which policies serve a question, and how each is run.

use anyhow::{Result, bail};
use execmem::Table;
use execmem_sim::Merge;
use execmem_sim::policy::{KernelPolicy, PolicyRow, ROWS};
use indicatif::ProgressBar;

use super::engine::EnginePolicy;
use super::in_place::{ABOUT_NOW, InPlace, NOW, OWN_PAGES};
use super::outcome::Outcome;
use super::question::Question;
use super::replay::{Plan, Replay};
use super::table_window;

/// The policy of this workspace.
pub(crate) const OURS: &str = "execmem";
const ABOUT_OURS: &str = "this engine: every kind in shared large blocks, written through another mapping";

/// A policy that can be run.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Runner {
    /// A process as it is.
    Now,
    /// A policy of Linux, or what many JITs do.
    Row(&'static PolicyRow),
    /// The engine.
    Ours,
}

/// The names of all policies, each once.
pub(crate) fn names() -> Vec<&'static str> {
    let mut names: Vec<_> = ROWS.iter().map(|row| row.name).collect();
    names.dedup();
    names.extend([NOW, OWN_PAGES.name, OURS]);
    names
}

/// The policies that serve a question, or those of them that are wanted; ours last.
///
/// # Errors
///
/// One that is wanted does not serve it.
pub(crate) fn choose(wanted: &[String], question: &Question) -> Result<Vec<Runner>> {
    let mut all: Vec<Runner> = match &question.loads.process {
        Some(process) if process.functions.is_empty() => vec![Runner::Now],
        Some(_) => vec![Runner::Now, Runner::Row(&OWN_PAGES)],
        None => question.served.iter().map(|served| Runner::Row(served.row)).collect(),
    };
    all.push(Runner::Ours);
    if let Some(other) = wanted.iter().find(|name| !all.iter().any(|runner| runner.name() == name.as_str())) {
        let names: Vec<_> = all.iter().map(Runner::name).collect();
        let what = if question.loads.process.is_some() { "a process" } else { question.named.name };
        bail!("the policy {other} does not serve {what}; there are {}", names.join(", "));
    }
    let is_wanted = |runner: &Runner| wanted.is_empty() || wanted.iter().any(|name| name == runner.name());
    all.retain(is_wanted);
    Ok(all)
}

impl Runner {
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Runner::Now => NOW,
            Runner::Row(row) => row.name,
            Runner::Ours => OURS,
        }
    }

    /// Runs the script of a question.
    pub(crate) fn run(
        self,
        table: &Table,
        question: &Question,
        plan: Plan,
        large_pages: Option<u64>,
        bar: &ProgressBar,
    ) -> Result<Outcome> {
        let loads = &question.loads;
        let boot = |merge| question.machine.boot(table, merge, large_pages);
        match self {
            Runner::Now => {
                let mut policy = InPlace::new(&loads.process.clone().unwrap_or_default(), boot(Merge::Never));
                Replay::new(&mut policy, NOW, plan, loads, bar).run(ABOUT_NOW)
            }
            Runner::Row(row) => {
                let mut policy = KernelPolicy::new(row, boot(Merge::Never), table_window(table)?);
                Replay::new(&mut policy, row.name, plan, loads, bar).run(row.about)
            }
            Runner::Ours => {
                // A kernel with this engine looks at a table of the direct map when a block of it comes back.
                let mut policy = EnginePolicy::new(table, boot(Merge::Scan))?;
                let outcome = Replay::new(&mut policy, OURS, plan, loads, bar).run(ABOUT_OURS)?;
                policy.audit()?;
                Ok(outcome)
            }
        }
    }
}
