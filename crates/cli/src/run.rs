//! `execmem run`: a load through the engine, on real memory and at kernel addresses, and what came of it.
//!
//! Two engines run. *Process* memory is that of this process (or, with `--backend sim`, simulated): functions and
//! modules of ours are installed, executed and freed there. *Kernel* memory is always simulated, because kernel modules
//! are linked for kernel addresses: a module set is laid out there, or real modules are loaded with every relocation. A
//! load with *callers* has a third engine, of process memory, for the four of them together.

mod baseline;
mod callers;
mod kernel;
pub(crate) mod modules;
mod print;
mod process;
mod report;
mod rounds;
pub(crate) mod steady;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, ensure};
use execmem_types::NamedTable;
use indicatif::{ProgressBar, ProgressStyle};

use crate::arch;
use crate::args::{BackendChoice, RunOptions};
use crate::output::print_json;
use crate::workload::Workload;
use report::Report;

/// Runs the load. The exit status is 1 if an audit or a result is wrong.
pub(crate) fn run(options: &RunOptions) -> Result<ExitCode> {
    let workload = Workload::read(options.workload.as_deref())?;
    let named = table(options)?;
    let mut report = Report::new(options.backend, named, &workload);
    report.is_legacy = named.table.is_legacy();
    process::run(options.backend, &named.table, &workload, &mut report)?;
    if let Some(load) = &workload.callers {
        callers::run(options.backend, named, load, &mut report)?;
    }
    match &options.modules {
        Some(folder) => modules::run(folder, &named.table, options.rounds, &mut report)?,
        None => kernel::run(&named.table, &workload, &mut report)?,
    }
    match steady::count() {
        Ok(calls) => report.system_calls_in_steady_state = Some(calls),
        Err(error) => report.notes.push(format!("system calls were not counted: {error:#}")),
    }
    if options.json {
        print_json(&report)?;
    } else {
        print::text(&report).print()?;
    }
    Ok(if report.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The table that is asked for, or that of x86. With memory of this process it has to be one of this machine: what the
/// report says of functions would else be read as that of the other machine.
fn table(options: &RunOptions) -> Result<&'static NamedTable> {
    let Some(named) = options.arch else { return arch::table("x86") };
    let here = arch::table(std::env::consts::ARCH).map(|here| here.table.machine().name);
    let machine = named.table.machine().name;
    ensure!(
        options.backend == BackendChoice::Sim || here.is_ok_and(|here| here == machine),
        "this machine is {}, and {} is a table of {machine}; add --backend sim to simulate it",
        std::env::consts::ARCH,
        named.name
    );
    Ok(named)
}

/// A bar on a terminal, nothing elsewhere.
pub(crate) fn progress(len: u64, what: &'static str) -> ProgressBar {
    let bar = ProgressBar::new(len);
    if let Ok(style) = ProgressStyle::with_template("{spinner} {msg:12} {bar:40} {pos}/{len}") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(200));
    bar.with_message(what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_workload_runs_on_every_table() {
        let mut workload = Workload::read(None).expect("the default workload");
        (workload.functions.count, workload.functions.churn) = (1000, 1000);
        for named in arch::all() {
            let backend = BackendChoice::Sim;
            let mut report = Report::new(backend, named, &workload);
            report.is_legacy = named.table.is_legacy();
            process::run(backend, &named.table, &workload, &mut report).expect(named.name);
            kernel::run(&named.table, &workload, &mut report).expect(named.name);
            assert!(report.is_good(), "{}: {}", named.name, report.audit);
            assert_eq!((report.modules_loaded, report.functions.made), (176, 2000), "{}", named.name);
        }
    }

    #[test]
    fn four_callers_run_on_every_machine_that_they_have_code_for() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("data/workloads/everything.toml");
        let workload = Workload::read(Some(&path)).expect("a workload");
        let mut load = workload.callers.clone().expect("callers");
        (load.kprobes, load.kprobe_churn, load.bpf.count, load.bpf.churn) = (200, 400, 200, 400);
        let x86 = ["x86", "x86-kasan", "x86-tail"];
        let others =
            ["arm64-4k", "arm64-16k", "arm64-64k", "riscv64", "powerpc-8xx", "powerpc-8xx-16k", "powerpc-book3s32"];
        for name in x86.into_iter().chain(others) {
            let (backend, named) = (BackendChoice::Sim, arch::table(name).expect(name));
            let mut report = Report::new(backend, named, &workload);
            callers::run(backend, named, &load, &mut report).expect(name);
            assert!(report.is_good(), "{name}: {}", report.audit);
            let made: Vec<_> = report.callers.iter().map(|caller| (caller.caller, caller.results.made)).collect();
            assert_eq!(made, [("modules", 40), ("kprobes", 200), ("ftrace", 100), ("bpf", 200)], "{name}");
        }
    }
}
