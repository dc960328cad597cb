//! What translations of code cost on the processor this runs on, beside what the simulator's model of it says.
//!
//! The same functions are called in the same order in four layouts: one a page, and packed, each in pages of 4K and of 2M.
//! Every function is executed from its first line to its last and its result checked. Between the two sizes of pages
//! nothing differs but translations, and that is what the model is held to; packing also spares the caches of code.

mod case;
mod costs;
mod functions;
mod model;
mod report;
mod text;

use anyhow::{Result, ensure};
use execmem_sim::KnownProcessor;

use self::case::{Case, Layout};
use self::functions::Functions;
use self::report::{CaseReport, LayoutReport, Report};
use self::text::Text;
use crate::args::Itlb;
use crate::code::RUNS_HERE;
use crate::machine::Machine;
use crate::measure::{median, ns_per, thread_cpu_time};

const CALLS: usize = 1_000_000;
const QUICK_CALLS: usize = 200_000;
const QUICK_ROUNDS: u32 = 2;

/// Runs all cases and prints what they took.
pub(crate) fn run(options: &Itlb) -> Result<()> {
    ensure!(RUNS_HERE, "the functions are of x86-64");
    let (name, known) = model::processor(options.processor.as_deref())?;
    let (rounds, calls) = if options.quick { (QUICK_ROUNDS, QUICK_CALLS) } else { (options.rounds, CALLS) };
    let mut cases = Vec::new();
    for case in Case::all(options.quick) {
        eprintln!("{} MiB of functions of {}, {}", case.text_mib, case.sizes.name(), case.law.name());
        cases.push(measure(case, &known, rounds, calls)?);
    }
    let command: Vec<String> = std::env::args().skip(1).collect();
    let costs = costs::fit(&cases);
    cases.iter_mut().for_each(|case| case.predict(costs));
    let report = Report {
        command: format!("cargo xtask bench {}", command.join(" ")),
        machine: Machine::here(),
        processor: name,
        source: known.source,
        rounds,
        calls,
        costs,
        cases,
    };
    if options.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        print!("{}", report::text(&report));
    }
    if options.record {
        report::record(&report)?;
    }
    Ok(())
}

/// Runs a case in all layouts, one after the other in each round.
fn measure(case: Case, known: &KnownProcessor, rounds: u32, calls: usize) -> Result<CaseReport> {
    let functions = Functions::new(case.sizes, case.text_mib << 20);
    let order = model::calls(case.law, functions.len(), calls);
    let expected = order.iter().fold(0, |sum: u32, index| sum.wrapping_add(functions.result(*index)));
    let mut texts = Vec::new();
    for layout in Layout::ALL {
        let text = Text::new(&functions, layout)?;
        texts.push((text.addresses(&order), text));
    }
    let mut times = vec![Vec::new(); texts.len()];
    for _ in 0..rounds {
        for ((addresses, text), times) in texts.iter().zip(&mut times) {
            let start = thread_cpu_time();
            let sum = text.sum(addresses);
            times.push(ns_per(thread_cpu_time() - start, calls));
            ensure!(sum == expected, "calls returned {sum:#x}, not {expected:#x}");
        }
    }
    let mut layouts = Vec::new();
    for ((layout, (_, text)), own) in Layout::ALL.into_iter().zip(&texts).zip(&times) {
        let ratios: Vec<_> = own.iter().zip(&times[0]).map(|(own, first)| own / first).collect();
        layouts.push(LayoutReport {
            layout,
            bytes: functions.bytes(layout),
            large_bytes: text.large_bytes()?,
            ns_per_call: median(own),
            ratio: median(&ratios),
            model: model::misses(known, case, &functions, layout),
            predicted_ns: None,
        });
    }
    Ok(CaseReport { case, functions: functions.len(), layouts })
}
