//! What allocators of executable memory and of ranges cost, side by side on the same traces. Started by
//! `cargo xtask bench`.
//!
//! Every peer runs in a process of its own, once a round; a result is the median over the rounds, a ratio the median
//! of the ratios within a round. Every function that was installed is executed and its answer checked.
#![expect(unsafe_code, reason = "maps memory, calls generated code, reads the counters of the heap")]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program that talks to a terminal")]

mod args;
mod bench;
mod callgrind;
mod code;
mod compiled;
mod itlb;
mod lookup;
mod machine;
mod measure;
mod peers;
mod programs;
mod random;
mod ranges;
mod report;
mod rounds;
mod small;
mod soak;
mod table;
mod threads;
mod trace;

use std::process::ExitCode;

use anyhow::{Result, ensure};
use clap::Parser as _;

use args::{Args, Task};
use bench::Bench;

fn main() -> Result<ExitCode> {
    let args = Args::parse();
    if let Some(Task::Itlb(options)) = &args.child {
        return itlb::run(options).map(|()| ExitCode::SUCCESS);
    }
    if let Some(Task::Threads(options)) = &args.child {
        return threads::run(options).map(|()| ExitCode::SUCCESS);
    }
    if let Some(Task::Child { bench, peer, mode, quick, steps }) = args.child {
        let mut bench = Bench::named(&bench, quick)?;
        if let Some(steps) = steps {
            bench = bench.with_steps(steps);
        }
        if let Some(measures) = bench.run(&peer, mode, steps.unwrap_or(usize::MAX / 2))? {
            println!("{}", serde_json::to_string(&measures)?);
        }
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(minutes) = args.soak {
        return soak::run(minutes);
    }
    let mut benches = Bench::all(args.quick);
    if !args.traces.is_empty() {
        benches.retain(|bench| args.traces.iter().any(|name| bench.is_meant_by(name)));
    }
    ensure!(!benches.is_empty(), "there is no trace {}", args.traces.join(" or "));
    if args.callgrind {
        return callgrind::run(&benches, args.traces.is_empty()).map(|()| ExitCode::SUCCESS);
    }
    let report = rounds::run(&benches, &args)?;
    if args.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        print!("{}", table::text(&report));
    }
    if args.record {
        let report = if args.traces.is_empty() { report } else { report.renewing(report::recorded("bench")?)? };
        report::record("bench", &report, &table::text(&report))?;
    }
    Ok(ExitCode::SUCCESS)
}
