//! The rounds: every peer of every bench once a round, each in a process of its own.

use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};

use crate::args::Args;
use crate::bench::Bench;
use crate::machine::Machine;
use crate::measure::Measures;
use crate::report::{BenchReport, Report, summarize};

/// Runs benches and reports the medians.
pub(crate) fn run(benches: &[Bench], args: &Args) -> Result<Report> {
    let rounds = if args.quick { 1 } else { args.rounds };
    let mut reports = Vec::new();
    for bench in benches {
        let calls = if bench.installs_code() { system_calls(bench, args.quick)? } else { Vec::new() };
        let mut results = Vec::new();
        for round in 0..rounds {
            eprintln!("{} round {}", bench.name, round + 1);
            let of_round = bench.peers.iter().map(|peer| measure(bench, peer, args.quick));
            results.push(of_round.collect::<Result<Vec<_>>>()?);
        }
        for (index, calls) in calls.into_iter().enumerate() {
            results.iter_mut().for_each(|round| {
                round[index].insert("system_calls".into(), calls);
            });
        }
        let peers = summarize(bench.peers, &results);
        reports.push(BenchReport { name: bench.name.clone(), about: bench.about.to_owned(), peers });
    }
    let command: Vec<String> = std::env::args().skip(1).collect();
    Ok(Report {
        command: format!("cargo xtask bench {}", command.join(" ")).trim_end().to_owned(),
        machine: Machine::here(),
        rounds,
        quick: args.quick,
        benches: reports,
    })
}

/// The command of a child that runs one peer.
pub(crate) fn child_args<'a>(bench: &'a Bench, peer: &'a str, mode: &'a str, quick: bool) -> Vec<&'a str> {
    let quick = if quick { &["--quick"][..] } else { &[] };
    ["child", &bench.name, peer, mode].into_iter().chain(quick.iter().copied()).collect()
}

fn measure(bench: &Bench, peer: &str, quick: bool) -> Result<Measures> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(child_args(bench, peer, "measure", quick)).stderr(Stdio::inherit());
    let output = command.output()?;
    ensure!(output.status.success(), "{} failed on {peer}: {}", bench.name, output.status);
    serde_json::from_slice(&output.stdout).with_context(|| format!("results of {peer} on {}", bench.name))
}

/// The system calls of each peer.
fn system_calls(bench: &Bench, quick: bool) -> Result<Vec<f64>> {
    eprintln!("{} system calls", bench.name);
    let count = |peer: &&'static str| {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(child_args(bench, peer, "count", quick)).stdout(Stdio::null());
        command.envs(bench.count_environment().iter().copied());
        let calls = execmem_syscalls::count(&mut command).with_context(|| format!("counting the calls of {peer}"))?;
        Ok(calls as f64)
    };
    bench.peers.iter().map(count).collect()
}
