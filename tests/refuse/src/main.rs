//! Refuses every request for heap that the engine and its clients make, one at a time and for good, and prints where they
//! come from and how the operation ended. With `--stack` it measures the stack of every operation instead.
//!
//! Each script runs in a process of its own, so that one that aborts is a finding like another.

#![deny(unsafe_code)]
#![allow(clippy::print_stdout, reason = "it talks to a terminal")]

mod by_address;
mod callers;
mod costs;
mod facts;
mod heap;
mod memory;
mod modules;
mod paint;
mod round;
mod scene;
mod scripts;
mod sites;
mod stack;
mod world;

use std::collections::{BTreeMap, BTreeSet};
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result, ensure};
use clap::Parser;
use execmem::Table;
use execmem_sim::{Nowhere, Sim};

use memory::Exempt;
use world::World;

#[derive(Debug, Parser)]
#[command(about = "Refuses every request for heap of engine and clients")]
struct Args {
    /// Run one script in this process.
    #[arg(long)]
    script: Option<String>,
    /// Measure the stack instead.
    #[arg(long)]
    stack: bool,
}

/// What cannot be refused, and how much it takes.
const DECODER: &str = "not proven: tables of the x86 decoder, made once, ";

/// A script, and what it is run on.
struct Script {
    name: &'static str,
    run: fn() -> Result<u64>,
}

const SCRIPTS: &[Script] = &[
    Script { name: "x86", run: || everything(execmem_arch_x86::TABLE, false) },
    Script { name: "x86, deferring", run: || everything(execmem_arch_x86::TABLE, true) },
    Script { name: "x86-flip", run: || everything(execmem_arch_x86::X86_FLIP, false) },
    Script { name: "x86-flip, deferring", run: || everything(execmem_arch_x86::X86_FLIP, true) },
    Script { name: "x86-strict", run: || everything(execmem_arch_x86::X86_STRICT, false) },
    Script { name: "x86-tail", run: || everything(execmem_arch_x86::X86_TAIL, false) },
    Script { name: "x86-legacy", run: || everything(execmem_arch_x86::X86_LEGACY, false) },
    Script { name: "arm64-4k", run: || everything(execmem_arch_arm64::ARM64_4K, false) },
    Script { name: "powerpc-book3s32", run: || everything(execmem_arch_powerpc_8xx::POWERPC_BOOK3S32, false) },
    Script { name: "many owners", run: crowd },
    Script { name: "several engines", run: engines },
    Script { name: "large, x86", run: || large(execmem_arch_x86::TABLE) },
    Script { name: "large, x86-tail", run: || large(execmem_arch_x86::X86_TAIL) },
    Script { name: "clients", run: clients },
    Script { name: "by address", run: || round::refuse_each(by_address::Keeping::new, &by_address::script()) },
    Script { name: "modules", run: || round::refuse_each(modules::Loading::<Exempt<Sim>>::new, &modules::script()) },
];

fn everything(table: Table, defers: bool) -> Result<u64> {
    round::refuse_each(|| World::<Exempt<Sim>>::new(table, defers), &scripts::everything())
}

/// What is large costs nothing on memory that is not there.
fn large(table: Table) -> Result<u64> {
    round::refuse_each(|| World::<Nowhere>::new(table, false), &scripts::large())
}

fn crowd() -> Result<u64> {
    round::refuse_each(|| World::<Exempt<Sim>>::new(execmem_arch_x86::TABLE, false), &scripts::crowd())
}

/// The place of an engine in a list of all is kept for the next one: each round has one engine more than any before.
fn engines() -> Result<u64> {
    let others = std::cell::Cell::new(0);
    let make = || {
        others.set(others.get() + 1);
        World::<Exempt<Sim>>::beside(execmem_arch_x86::TABLE, others.get())
    };
    round::refuse_making(make)
}

fn clients() -> Result<u64> {
    println!("{DECODER}{} bytes", callers::make_decoder());
    round::refuse_each(callers::Callers::new, &callers::script())
}

/// How often requests of a site were refused, by how the operation ended.
#[derive(Debug, Default)]
struct Tally {
    refused: u64,
    went_on: u64,
}

/// What a script's process printed.
fn read(output: &str, tallies: &mut BTreeMap<String, Tally>, all: &BTreeSet<String>) {
    for line in output.lines() {
        let Some((ended, places)) = line.strip_prefix("site ").and_then(|rest| rest.split_once(' ')) else { continue };
        // A helper's call is a site, and so is the call of the helper.
        let known: Vec<_> = places.split(' ').filter(|place| all.contains(*place)).collect();
        for place in known {
            let tally = tallies.entry(place.to_owned()).or_default();
            if ended == "refused" { tally.refused += 1 } else { tally.went_on += 1 }
        }
    }
}

/// Runs a script in a process of its own.
fn run_apart(script: &Script) -> Result<String> {
    let output = Command::new(std::env::current_exe()?).args(["--script", script.name]).output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let last = text.lines().rev().take(3).collect::<Vec<_>>().join("\n");
    ensure!(
        output.status.success(),
        "{}: {}\n{}\n{last}",
        script.name,
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(text)
}

fn refuse_all() -> Result<()> {
    let all = sites::all()?;
    let mut tallies = BTreeMap::new();
    for script in SCRIPTS {
        let output = run_apart(script)?;
        let requests = output.lines().last().unwrap_or_default();
        println!("{:24} {requests}", script.name);
        output.lines().filter(|line| line.starts_with(DECODER)).for_each(|line| println!("{line}"));
        read(&output, &mut tallies, &all);
    }
    println!("\n{:52} {:>8} {:>8}", "site", "failed", "went on");
    for (site, tally) in &tallies {
        println!("{site:52} {:8} {:8}", tally.refused, tally.went_on);
    }
    let missed: Vec<_> = all.iter().filter(|site| !tallies.contains_key(*site)).collect();
    ensure!(missed.is_empty(), "{} of {} sites were never refused: {missed:#?}", missed.len(), all.len());
    println!("{} sites, all refused: no panic, no abort, no leak, state as before", all.len());
    Ok(())
}

fn run(args: &Args) -> Result<()> {
    if args.stack {
        return stack::measure();
    }
    let Some(name) = &args.script else { return costs::check().and_then(|()| refuse_all()) };
    let script = SCRIPTS.iter().find(|script| script.name == name).context("no such script")?;
    let requests = (script.run)()?;
    println!("{requests} requests, each refused once and from it on for good");
    Ok(())
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("{error:#}");
            ExitCode::FAILURE
        }
    }
}
