//! Which allocation holds an address? Asked of the engine, of an arena of ranges and of a `BTreeMap` with the same
//! 100,000 live functions.

use std::collections::BTreeMap;

use anyhow::{Result, bail, ensure};
use execmem::Kind;

use crate::measure::{Measures, ns_per, thread_cpu_time};
use crate::peers::{Execmem, Peer as _};
use crate::random::{Random, SEED};
use crate::ranges::ExecmemRange;
use crate::trace::{Load, Plan};

pub(crate) const NAME: &str = "LOOKUP";
pub(crate) const ABOUT: &str = "look-up of random addresses inside 100,000 live trampolines";
pub(crate) const PEERS: &[&str] = &["btree", "execmem-range", "execmem"];

const LOOKUPS: usize = 500_000;

/// Time of a look-up in one of the peers. `plan` says what is live; it is of a kind whose quantum is the granule of
/// the range traces.
pub(crate) fn measure(peer: &str, plan: &Plan) -> Result<Measures> {
    let plan = Plan { kind: Kind::Bpf, ..*plan };
    let engine = Execmem::new(plan.kind)?;
    let mut load = Load::new(plan, 0);
    load.fill(&engine)?;
    let mut live: Vec<_> = load.codes().map(Execmem::extent).collect();
    live.sort_unstable();
    let lowest = live.first().map_or(0, |(start, _)| *start);
    let queries = queries(&live);
    let spent = match peer {
        "execmem" => time(&queries, |address| engine.find_start(address))?,
        "execmem-range" => {
            let from_lowest: Vec<_> = live.iter().map(|(start, len)| (start - lowest, *len)).collect();
            let ranges = ExecmemRange::with_live(&from_lowest)?;
            time(&queries, |address| Some(ranges.find_start(address - lowest)? + lowest))?
        }
        "btree" => {
            let tree: BTreeMap<u64, u64> = live.iter().copied().collect();
            time(&queries, |address| {
                let (start, len) = tree.range(..=address).next_back()?;
                (address < start + len).then_some(*start)
            })?
        }
        _ => bail!("{peer} is not asked for addresses"),
    };
    load.empty(&engine)?;
    engine.finish()?;
    Ok(Measures::from([("ns_per_lookup".into(), spent)]))
}

/// Addresses inside live ranges, and where those start.
fn queries(live: &[(u64, u64)]) -> Vec<(u64, u64)> {
    let mut random = Random::new(SEED);
    let mut query = || {
        let (start, len) = live[random.below(live.len())];
        (start + random.below(usize::try_from(len).unwrap_or(1)) as u64, start)
    };
    (0..LOOKUPS).map(|_| query()).collect()
}

fn time(queries: &[(u64, u64)], find: impl Fn(u64) -> Option<u64>) -> Result<f64> {
    let start = thread_cpu_time();
    let wrong = queries.iter().filter(|(address, start)| find(*address) != Some(*start)).count();
    let spent = thread_cpu_time() - start;
    ensure!(wrong == 0, "{wrong} look-ups are wrong");
    Ok(ns_per(spent, queries.len()))
}
