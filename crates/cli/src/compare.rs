//! `execmem compare`: the same modules, programs, probes and trampolines served by several policies, and what each costs.

mod engine;
mod load;
mod machine;
pub(crate) mod outcome;
mod placement;
mod print;
mod replay;

use anyhow::{Context as _, Result, anyhow, bail};
use execmem::{Extent, Kind, Table};
use execmem_sim::Merge;
use execmem_sim::policy::{KernelPolicy, ROWS};
use execmem_types::Row;

use crate::args::CompareOptions;
use crate::report::write;
use crate::run::progress;
use crate::{arch, html};
use engine::EnginePolicy;
use load::Loads;
use machine::Machine;
use outcome::{Comparison, LoadOutcome, MachineOutcome, Outcome, Window};
use replay::{Plan, Replay};

/// The policy of this workspace.
const OURS: &str = "execmem";
const ABOUT_OURS: &str = "this engine: every kind in shared large blocks, written through another mapping";

/// Compares, and prints tables or JSON, and a report if wanted.
pub(crate) fn run(options: &CompareOptions) -> Result<()> {
    let comparison = measure(options)?;
    if let Some(file) = &options.html {
        write(file, html::report(&comparison, "execmem compare")?.as_bytes())?;
    }
    if options.json {
        println!("{}", serde_json::to_string_pretty(&comparison)?);
    } else {
        print::print(&comparison);
    }
    Ok(())
}

/// Runs every policy on the same loads.
pub(crate) fn measure(options: &CompareOptions) -> Result<Comparison> {
    let names = policies(&options.policies)?;
    let named = arch::table(&options.arch)?;
    let machine = Machine::read(options)?;
    let loads = Loads::read(&options.load, &named.table)?;
    let table = shortened(&named.table, options.window)?;
    let window = table_window(&table)?;
    let bar = progress(names.len() as u64, "policies");
    let plan = Plan {
        churn: options.churn,
        calls: options.calls,
        physical_bytes: machine.memory_bytes,
        parallel: usize::try_from(options.parallel)?,
        pressure: options.pressure,
    };
    let run_one = |name| {
        let outcome = run_policy(name, &table, &machine, &loads, plan);
        bar.inc(1);
        outcome
    };
    let outcomes = std::thread::scope(|scope| {
        let running: Vec<_> = names.into_iter().map(|name| scope.spawn(move || run_one(name))).collect();
        running
            .into_iter()
            .map(|policy| policy.join().map_err(|_| anyhow!("a policy panicked"))?)
            .collect::<Result<_>>()
    })?;
    bar.finish_and_clear();
    Ok(Comparison {
        load: LoadOutcome {
            modules_of: loads.name,
            modules: loads.modules.len(),
            programs: loads.programs.len(),
            probes: loads.probes.len(),
            trampolines: loads.trampolines.len(),
            churn: options.churn,
        },
        arch: named.name.to_owned(),
        window: Window { start: format!("{:#x}", window.start()), len: window.len() },
        machine: MachineOutcome {
            name: machine.name,
            about: machine.about,
            memory_bytes: machine.memory_bytes,
            tlb_source: machine.source,
        },
        policies: outcomes,
    })
}

/// The policies to run, in the order of their table, ours last.
fn policies(wanted: &[String]) -> Result<Vec<&'static str>> {
    let all: Vec<_> = ROWS.iter().map(|row| row.name).chain([OURS]).collect();
    if let Some(unknown) = wanted.iter().find(|name| !all.contains(&name.as_str())) {
        bail!("no policy {unknown}; there are {}", all.join(", "));
    }
    Ok(all.into_iter().filter(|name| wanted.is_empty() || wanted.iter().any(|wanted| wanted == name)).collect())
}

/// The table with only the first part of each window, or all of it.
fn shortened(table: &Table, mib: Option<u64>) -> Result<Table> {
    let Some(mib) = mib else { return Ok(*table) };
    let shorten = |window: Extent| window.part(0, window.len().min(mib << 20)).unwrap_or(window);
    let adjusted = table.adjusted(|_, rows| {
        for row in rows {
            if let Row::Own(descriptor) = row {
                descriptor.windows = descriptor.windows.map(|window| window.map(shorten));
            }
        }
    });
    Ok(adjusted?)
}

/// The window that the policies of Linux use for all kinds.
fn table_window(table: &Table) -> Result<Extent> {
    table.descriptor(Kind::Text).windows().next().context("a window for text")
}

fn run_policy(name: &'static str, table: &Table, machine: &Machine, loads: &Loads, plan: Plan) -> Result<Outcome> {
    let Some(row) = ROWS.iter().find(|row| row.name == name) else {
        // A kernel with this engine looks at a table of the direct map when a block of it comes back.
        let mut policy = EnginePolicy::new(table, machine.boot(table, Merge::Scan))?;
        let outcome = Replay::new(&mut policy, name, plan).run(loads, ABOUT_OURS)?;
        policy.audit()?;
        return Ok(outcome);
    };
    let mut policy = KernelPolicy::new(row, machine.boot(table, Merge::Never), table_window(table)?);
    Replay::new(&mut policy, name, plan).run(loads, row.about)
}
