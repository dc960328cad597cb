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
        crate::report::record("itlb", &report, &report::text(&report))?;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::itlb::costs::Costs;

    /// What was recorded, with `cargo xtask bench itlb --record`.
    #[derive(Debug, serde::Deserialize)]
    struct Recorded {
        processor: String,
        costs: Costs,
        cases: Vec<CaseReport>,
    }

    fn recorded() -> Recorded {
        crate::report::recorded("itlb").expect("a readable record")
    }

    #[test]
    fn packing_beats_a_page_each_and_large_pages_beat_packing_in_time_and_in_the_model() {
        for case in recorded().cases {
            let by_layout = |of: fn(&LayoutReport) -> f64| [0, 2, 3].map(|index| of(&case.layouts[index]));
            let [each, packed, large] = by_layout(|layout| layout.ratio);
            assert!(each >= packed && packed > large, "{:?}: {each} {packed} {large}", case.case);
            let [each, packed, large] = by_layout(|layout| layout.model.walks + layout.model.second_level_hits);
            let is_small = case.case.sizes == case::Sizes::Small;
            assert!(large < 0.01 && packed > 0.2, "{:?}: {packed} {large}", case.case);
            assert!(!is_small || case.case.text_mib > 2 || each > packed, "{:?}: {each} {packed}", case.case);
        }
    }

    #[test]
    fn the_model_says_what_was_measured_within_a_quarter() {
        let recorded = recorded();
        let fitted = costs::fit(&recorded.cases);
        assert!((fitted.walk_ns - recorded.costs.walk_ns).abs() < 0.1, "{fitted:?}");
        let (mut off, mut count) = (0.0, 0.0);
        for mut case in recorded.cases {
            case.predict(fitted);
            for (small, _) in Layout::TWINS {
                let layout = &case.layouts[small];
                let ratio = layout.predicted_ns.expect("a prediction") / layout.ns_per_call;
                assert!((0.75..1.25).contains(&ratio), "{:?} {:?}: {ratio}", case.case, layout.layout);
                off += (ratio - 1.0).abs();
                count += 1.0;
            }
        }
        assert!(off / count < 0.10, "off by {} on average", off / count);
    }

    #[test]
    fn the_model_still_counts_what_was_recorded() {
        let recorded = recorded();
        let (_, known) = model::processor(Some(&recorded.processor)).expect("in the catalogue");
        for case in recorded.cases.iter().filter(|case| case.case.text_mib == 2) {
            let functions = Functions::new(case.case.sizes, case.case.text_mib << 20);
            assert_eq!(functions.len(), case.functions);
            for layout in &case.layouts {
                let now = model::misses(&known, case.case, &functions, layout.layout);
                let mut pairs = now.by_cost().into_iter().zip(layout.model.by_cost());
                assert!(pairs.all(|(now, then)| (now - then).abs() < 1e-9), "{:?}: {now:?}", case.case);
            }
        }
    }

    #[test]
    fn functions_run_in_every_layout_and_return_what_they_shall() {
        for sizes in [case::Sizes::Small, case::Sizes::Large] {
            let functions = Functions::new(sizes, 3 << 20);
            for layout in Layout::ALL {
                let text = Text::new(&functions, layout).expect("every function is called once");
                let order = model::calls(case::Law::Zipf, functions.len(), 1000);
                let expected = order.iter().fold(0, |sum: u32, index| sum.wrapping_add(functions.result(*index)));
                assert_eq!(text.sum(&text.addresses(&order)), expected);
                assert!(layout.is_large() || text.large_bytes().expect("proc") == 0);
            }
        }
    }
}
