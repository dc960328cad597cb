//! `execmem compare`: the same modules, programs, probes and trampolines served by several policies, and what each costs.

pub(crate) mod columns;
mod engine;
mod in_place;
pub(crate) mod layout;
mod load;
pub(crate) mod machine;
pub(crate) mod outcome;
mod print;
mod question;
mod replay;
mod runner;
mod script;

use std::process::ExitCode;

use anyhow::{Context as _, Result, anyhow, ensure};
use execmem::{Extent, Kind, Table};
use execmem_types::{NamedTable, Others};

use crate::args::CompareOptions;
use crate::html;
use crate::output::{OutputFile, print_json};
use crate::provenance::Provenance;
use crate::run::progress;
use outcome::{Comparison, LoadOutcome, MachineOutcome, Outcome, SCHEMA, Window};
use question::Question;
use replay::Plan;
use runner::Runner;

pub(crate) use print::{leaf_size, leaves};
pub(crate) use runner::{OURS, names};

/// Compares, and prints tables or JSON, and a report if wanted. The exit status is 1 if a module could not be read.
pub(crate) fn run(options: &CompareOptions) -> Result<ExitCode> {
    let page = OutputFile::open_if(options.html.as_ref())?;
    let is_page_printed = page.as_ref().is_some_and(OutputFile::is_standard_output);
    ensure!(!(options.json && is_page_printed), "--json and --html - both want standard output; name a file for one");
    let comparison = measure(options)?;
    if let Some(page) = page {
        page.write(html::report(&comparison)?.as_bytes())?;
    }
    if options.json {
        print_json(&comparison)?;
    } else if !is_page_printed {
        print::text(&comparison).print()?;
    }
    Ok(status(&comparison))
}

/// Success, unless something that was asked for is left out.
pub(crate) fn status(comparison: &Comparison) -> ExitCode {
    if comparison.load.unreadable == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs every policy on the same loads.
pub(crate) fn measure(options: &CompareOptions) -> Result<Comparison> {
    let question = Question::read(options)?;
    let table = shortened(&question.named.table, options.window)?;
    let runners = runner::choose(&options.policies, &question)?;
    let plan = Plan {
        calls: options.calls,
        physical_bytes: question.machine.memory_bytes,
        parallel: usize::try_from(options.parallel)?,
        pressure: options.pressure,
        has_direct_map: question.machine.has_direct_map(),
        has_tlbs: question.machine.source.is_some(),
    };
    let bar = progress(runners.len() as u64 * question.loads.script.steps.len() as u64, "events");
    let run_one = &|runner: Runner| runner.run(&table, &question, plan, options.large_pages, &bar);
    let outcomes = std::thread::scope(|scope| {
        let running: Vec<_> = runners.into_iter().map(|runner| scope.spawn(move || run_one(runner))).collect();
        running
            .into_iter()
            .map(|policy| policy.join().map_err(|_| anyhow!("a policy panicked"))?)
            .collect::<Result<Vec<_>>>()
    })?;
    bar.finish_and_clear();
    let window = table_window(&table)?;
    Ok(comparison(question, window, outcomes))
}

fn comparison(question: Question, window: Extent, policies: Vec<Outcome>) -> Comparison {
    let today = question.today().filter(|today| policies.iter().any(|policy| policy.name == *today));
    let code_sync = code_sync(question.named);
    let Question { named, machine, loads, places, unreadable, .. } = question;
    Comparison {
        schema: SCHEMA,
        provenance: Provenance::of_this_run(),
        load: LoadOutcome { unreadable, ..loads.outcome },
        arch: named.name.to_owned(),
        window: Window { start: format!("{:#x}", window.start()), len: window.len() },
        machine: MachineOutcome {
            name: machine.name,
            about: machine.about,
            memory_bytes: machine.memory_bytes,
            tlb_source: machine.source,
            code_sync,
        },
        moment: loads.script.moment,
        today,
        notes: loads.notes.into_iter().chain(machine.notes).collect(),
        policies,
        places,
        names: loads.all.into_iter().map(|load| load.name).collect(),
    }
}

/// How processors learn of new code.
fn code_sync(named: &NamedTable) -> &'static str {
    match named.table.machine().instructions.cache.fresh {
        Others::Coherent => "by themselves",
        Others::Broadcast => "broadcast",
        Others::Interrupt => "interrupt",
    }
}

/// The table with only the first part of each window, or all of it.
fn shortened(table: &Table, mib: Option<u64>) -> Result<Table> {
    let Some(mib) = mib else { return Ok(*table) };
    let shorten = |window: Extent| window.part(0, window.len().min(mib << 20)).unwrap_or(window);
    let adjusted = table.adjusted(|plan| {
        for (_, descriptor) in plan.owns_mut() {
            descriptor.windows = descriptor.windows.map(|window| window.map(shorten));
        }
    });
    Ok(adjusted?)
}

/// The window that the policies of Linux use for all kinds.
fn table_window(table: &Table) -> Result<Extent> {
    table.descriptor(Kind::Text).windows().next().context("a window for text")
}
