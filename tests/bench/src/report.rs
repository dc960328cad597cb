//! What the rounds found, as data, and where it is kept.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::machine::Machine;
use crate::measure::{Measures, median};

/// Everything that was found.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Report {
    pub(crate) command: String,
    pub(crate) machine: Machine,
    pub(crate) rounds: u32,
    pub(crate) quick: bool,
    pub(crate) benches: Vec<BenchReport>,
}

/// One trace.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct BenchReport {
    pub(crate) name: String,
    pub(crate) about: String,
    pub(crate) peers: Vec<PeerReport>,
}

/// One peer on one trace.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct PeerReport {
    pub(crate) peer: String,
    #[serde(flatten)]
    pub(crate) measures: Measures,
}

impl Report {
    /// What was found before, with what this says of its traces in their places.
    pub(crate) fn renewing(self, mut earlier: Report) -> Result<Report> {
        let is_alike = (&self.machine, self.rounds, self.quick) == (&earlier.machine, earlier.rounds, earlier.quick);
        ensure!(is_alike, "the record is of another machine or of other rounds: record all traces");
        for bench in self.benches {
            match earlier.benches.iter_mut().find(|old| old.name == bench.name) {
                Some(old) => *old = bench,
                None => earlier.benches.push(bench),
            }
        }
        Ok(earlier)
    }
}

/// Measures that are divided by those of another peer in the same round: measure, peer, name of the ratio.
const RATIOS: &[(&str, &str, &str)] = &[
    ("cpu_ns_per_pair", "mmap", "ratio_to_mmap"),
    ("cpu_ns_per_pair", "heap", "ratio_to_heap"),
    ("p99_9_ns", "heap", "p99_9_to_heap"),
    ("ns_per_op", "btree", "ratio_to_btree"),
    ("ns_per_op", "offset-allocator", "ratio_to_offset_allocator"),
    ("ns_per_lookup", "btree", "ratio_to_btree"),
    ("system_calls", "cranelift-jit", "system_calls_ratio"),
    ("resident_bytes", "cranelift-jit", "resident_ratio"),
    ("ns_per_call", "cranelift-jit", "call_ratio"),
];

/// Measures whose extremes are reported too.
const SPREAD: &[&str] = &["cpu_ns_per_pair"];

/// Medians over rounds. A round has the measures of each peer, in the order of `peers`.
pub(crate) fn summarize(peers: &[&'static str], rounds: &[Vec<Measures>]) -> Vec<PeerReport> {
    let with_ratios: Vec<Vec<Measures>> = rounds.iter().map(|round| add_ratios(peers, round)).collect();
    let summary = peers.iter().enumerate().map(|(index, peer)| {
        let mut values: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
        for (name, value) in with_ratios.iter().flat_map(|round| &round[index]) {
            values.entry(name).or_default().push(*value);
        }
        let mut measures = Measures::new();
        for (name, values) in values {
            measures.insert(name.to_owned(), median(&values));
            if SPREAD.contains(&name) {
                measures.insert(format!("{name}_min"), values.iter().copied().fold(f64::INFINITY, f64::min));
                measures.insert(format!("{name}_max"), values.iter().copied().fold(0.0, f64::max));
            }
        }
        PeerReport { peer: (*peer).to_owned(), measures }
    });
    summary.collect()
}

fn add_ratios(peers: &[&str], round: &[Measures]) -> Vec<Measures> {
    let mut round = round.to_vec();
    for (measure, base, ratio) in RATIOS {
        let base = peers.iter().position(|peer| peer == base).and_then(|index| round[index].get(*measure).copied());
        let Some(base) = base.filter(|base| *base > 0.0) else { continue };
        for measures in &mut round {
            if let Some(value) = measures.get(*measure).copied() {
                measures.insert((*ratio).to_owned(), value / base);
            }
        }
    }
    round
}

/// Where results are kept.
fn record_path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("record").join(name)
}

/// What was recorded as a report of a name.
pub(crate) fn recorded<T: DeserializeOwned>(name: &str) -> Result<T> {
    let file = record_path(&format!("{name}.json"));
    let text = std::fs::read_to_string(&file).with_context(|| format!("reading {}", file.display()))?;
    serde_json::from_str(&text).with_context(|| format!("in {}", file.display()))
}

/// Writes a report of a name for machines, and its text for people.
pub(crate) fn record(name: &str, report: &impl Serialize, text: &str) -> Result<()> {
    std::fs::create_dir_all(record_path("")).context("creating the folder of records")?;
    let write = |ending: &str, content: &str| {
        let file = record_path(&format!("{name}.{ending}"));
        std::fs::write(&file, content).with_context(|| format!("writing {}", file.display()))
    };
    write("json", &(serde_json::to_string_pretty(report)? + "\n"))?;
    write("txt", text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_that_is_recorded_again_takes_its_place_and_others_stay() {
        let report = |names: &[&str], rounds| {
            let bench =
                |name: &&str| BenchReport { name: (*name).to_owned(), about: format!("{rounds}"), peers: vec![] };
            let benches = names.iter().map(bench).collect();
            Report { command: String::new(), machine: Machine::here(), rounds, quick: false, benches }
        };
        let mut again = report(&["T2", "T9"], 5);
        again.benches[0].about = "again".to_owned();
        let renewed = again.renewing(report(&["T1", "T2", "T3"], 5)).expect("alike");
        let abouts = renewed.benches.iter().map(|bench| (bench.name.as_str(), bench.about.as_str()));
        assert!(abouts.eq([("T1", "5"), ("T2", "again"), ("T3", "5"), ("T9", "5")]));
        assert!(report(&["T1"], 3).renewing(renewed).is_err(), "of other rounds");
    }

    #[test]
    fn a_ratio_is_the_median_of_the_ratios_of_rounds() {
        let measures = |ns: f64| Measures::from([("cpu_ns_per_pair".to_owned(), ns)]);
        let rounds: Vec<Vec<Measures>> =
            [(1.0, 2.0), (10.0, 50.0), (100.0, 100.0)].map(|(heap, mmap)| vec![measures(heap), measures(mmap)]).into();
        let reports = summarize(&["heap", "mmap"], &rounds);
        let of = |peer: usize, name: &str| reports[peer].measures[name];
        assert_eq!((of(0, "cpu_ns_per_pair"), of(0, "cpu_ns_per_pair_max")), (10.0, 100.0));
        assert_eq!((of(0, "ratio_to_mmap"), of(1, "ratio_to_heap"), of(1, "ratio_to_mmap")), (0.5, 2.0, 1.0));
    }
}
