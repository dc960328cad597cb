//! A slice of fuzzing in every run of the tests, without counters; and every input that ever failed.

use std::path::Path;
use std::time::Duration;

use execmem_fuzz::hunt::{self, Plan};
use execmem_fuzz::{TARGETS, named};

/// Inputs of each target beyond its seeds, by number and not by time: a busy machine tries no fewer.
const RUNS: u64 = 2000;
/// Fewer where one takes tens of milliseconds.
const FEWER: &[(&str, u64)] = &[("engine", 100)];

#[test]
fn every_target_bears_changed_inputs() {
    for target in TARGETS {
        let seeds = (target.seeds)();
        let fewer = FEWER.iter().find(|(name, _)| *name == target.name);
        let runs = seeds.len() as u64 + fewer.map_or(RUNS, |(_, runs)| *runs);
        let plan = Plan {
            seed: 1,
            time: Duration::MAX,
            runs,
            kept: None,
            findings: Path::new(env!("CARGO_TARGET_TMPDIR")).join("findings"),
        };
        let (report, finding) = hunt::hunt(target, &plan).expect("files");
        assert!(finding.is_none(), "{}: {finding:?}", target.name);
        assert!(report.runs == runs && report.taken > 10, "{}: {report:?} is no test", target.name);
    }
}

#[test]
fn every_seed_is_taken_by_its_target() {
    for target in TARGETS {
        let seeds = (target.seeds)();
        let taken = seeds.iter().filter(|seed| (target.run)(seed)).count();
        assert!(taken * 4 >= seeds.len() * 3, "{}: {taken} of {} are", target.name, seeds.len());
    }
}

#[test]
fn inputs_that_failed_once_fail_no_more() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("found");
    for target in TARGETS {
        for input in hunt::read_all(&folder.join(target.name)).expect("files") {
            (target.run)(&input);
        }
    }
    assert!(named("loader-x86").is_some());
}
