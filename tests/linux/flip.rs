//! Memory whose rights flip: what a function costs when there are many, and when the process can have no more mappings.

use std::time::Duration;

use execmem::kinds::Text;
use execmem::{Engine, Kind, Live};
use execmem_linux::{Linux, Options, Publish};

use super::code::{engine_of, install, run};
use super::confine::use_up_mappings;
use super::process::{in_a_process, processor_time};

skip::tests! {
    forty_thousand_functions_cost_as_much_each_as_the_first_five_thousand
    at_the_limit_of_mappings_nothing_stays_withheld_once_all_is_freed
}

fn flipping() -> Engine<Linux> {
    engine_of(&Options::default().publish(Publish::Flip))
}

/// Functions of a step.
const STEP: usize = 5_000;
const STEPS: usize = 8;

/// What each step takes: of installing, of freeing every second, of freeing the rest.
fn life_of_many() -> [Vec<Duration>; 3] {
    let engine = flipping();
    let mut functions: Vec<Option<Live<Text>>> = Vec::new();
    let mut times = [Vec::new(), Vec::new(), Vec::new()];
    for _ in 0..STEPS {
        let value = |index: usize| u32::try_from(index).expect("few");
        let made = functions.len()..functions.len() + STEP;
        times[0].push(processor_time(|| functions.extend(made.map(|index| Some(install(&engine, value(index), 64))))));
    }
    assert_eq!(functions.get(STEP).and_then(Option::as_ref).map(run), Some(5_000));
    for (round, times) in times[1..].iter_mut().enumerate() {
        for step in functions.chunks_mut(STEP) {
            let free = |slot: &mut Option<Live<Text>>| {
                slot.take().into_iter().for_each(|live| engine.free(live).expect("ours"));
            };
            times.push(processor_time(|| step.iter_mut().skip(round).step_by(2).for_each(free)));
        }
    }
    engine.audit().expect("audit");
    engine.shrink();
    assert_eq!((engine.stats().bytes_mapped(), engine.pool_stats(Kind::Text).bytes_withheld), (0, 0));
    times
}

fn forty_thousand_functions_cost_as_much_each_as_the_first_five_thousand() {
    let name = "flip::forty_thousand_functions_cost_as_much_each_as_the_first_five_thousand";
    in_a_process(name, || {
        // Other programs share the processor's caches: the best of a few series counts.
        let mut worst = Vec::new();
        for _ in 0..3 {
            let times = life_of_many();
            let ratio = |steps: &Vec<Duration>| {
                let later = &mut steps[1..].to_vec();
                later.sort_unstable();
                later[later.len() / 2].as_secs_f64() / steps[0].as_secs_f64()
            };
            worst.push(times.iter().map(ratio).fold(0.0, f64::max));
            if worst.last().is_some_and(|ratio| *ratio <= 1.3) {
                return;
            }
        }
        panic!("later functions take up to {worst:.2?} times as long as the first");
    });
}

fn at_the_limit_of_mappings_nothing_stays_withheld_once_all_is_freed() {
    in_a_process("flip::at_the_limit_of_mappings_nothing_stays_withheld_once_all_is_freed", || {
        let engine = flipping();
        let functions: Vec<_> = (0..400).map(|value| install(&engine, value, 64)).collect();
        let (first, second): (Vec<_>, Vec<_>) =
            functions.into_iter().enumerate().partition(|(index, _)| index % 2 == 0);
        let mappings = use_up_mappings();
        first.into_iter().for_each(|(_, live)| engine.free(live).expect("ours"));
        let withheld = engine.pool_stats(Kind::Text).bytes_withheld;
        assert!(withheld > 0, "a right that changes for one page in the middle is a mapping more");
        assert!(second.iter().all(|(value, live)| run(live) as usize == *value), "the others are as they were");
        // Each free makes mappings one again, so freeing gives back what it can.
        second.into_iter().for_each(|(_, live)| engine.free(live).expect("ours"));
        engine.shrink();
        assert_eq!(engine.pool_stats(Kind::Text).bytes_withheld, 0, "all of it could be destroyed in the end");
        drop(mappings);
        engine.audit_unused().expect("traps");
        assert_eq!(engine.stats().bytes_mapped(), 0);
    });
}
