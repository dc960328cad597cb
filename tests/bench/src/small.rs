//! SMALL: what one function costs, and what a million do: for programs that make few. The process has nothing else of the
//! allocator before, so what it sets up once counts.

use std::time::Instant;

use anyhow::Result;
use execmem::Kind;
use execmem_linux::proc;

use crate::measure::{Measures, Memory, heap_bytes, ns_per};
use crate::peers::Peer;
use crate::random::Random;
use crate::trace::{Load, Plan, Timed};

pub(crate) const NAME: &str = "SMALL";
pub(crate) const ABOUT: &str = "functions of 64 to 256 bytes in a fresh process";
/// Numbers of functions.
pub(crate) const COUNTS: &[usize] = &[1, 10, 100, 1_000, 10_000, 100_000, 1_000_000];
/// Those of a quick run.
pub(crate) const QUICK_COUNTS: &[usize] = &[1, 1_000];
/// A page each: more of them take gigabytes.
const MOST_PAGES: usize = 100_000;

/// The peers.
pub(crate) const fn peers(count: usize) -> &'static [&'static str] {
    if count <= MOST_PAGES { &["mmap", "dynasmrt", "execmem"] } else { &["execmem"] }
}

/// The load of a number of functions.
pub(crate) const fn plan(count: usize) -> Plan {
    Plan {
        name: NAME,
        about: ABOUT,
        kind: Kind::Text,
        threads: 1,
        live: count,
        steps: 0,
        timed: Timed::FillAndEmpty,
        size: |random: &mut Random| random.range(64, 257),
        max_bytes: 256,
    }
}

/// What the process is.
struct Process {
    memory: Memory,
    virtual_bytes: u64,
    mappings: usize,
    heap_bytes: usize,
}

impl Process {
    fn now() -> Result<Self> {
        let heap_bytes = heap_bytes();
        let mappings = proc::mappings()?;
        let virtual_bytes = mappings.iter().map(|area| area.extent.len()).sum();
        Ok(Process { memory: Memory::now()?, virtual_bytes, mappings: mappings.len(), heap_bytes })
    }
}

/// Makes the functions, measures what the process has more of, calls each, and frees them.
pub(crate) fn measure<P: Peer>(plan: &Plan) -> Result<Measures> {
    let mut load = Load::new(*plan, 0);
    let before = Process::now()?;
    let start = Instant::now();
    let peer = P::new(plan.kind)?;
    load.fill(&peer)?;
    let spent = start.elapsed();
    let now = Process::now()?;
    load.check(&peer)?;
    load.empty(&peer)?;
    peer.finish()?;
    let more = |after: u64, before: u64| after as f64 - before as f64;
    Ok(Measures::from([
        ("wall_us".into(), spent.as_secs_f64() * 1e6),
        ("wall_ns_per_function".into(), ns_per(spent, plan.live)),
        ("resident_bytes".into(), more(now.memory.resident, before.memory.resident)),
        ("virtual_bytes".into(), more(now.virtual_bytes, before.virtual_bytes)),
        ("mappings".into(), more(now.mappings as u64, before.mappings as u64)),
        ("heap_bytes".into(), more(now.heap_bytes as u64, before.heap_bytes as u64)),
    ]))
}
