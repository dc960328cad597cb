//! The four callers in one engine: modules, kprobes, tracers and BPF programs, each with an account of its own, installed,
//! executed, and unloaded again.

mod bpf;
mod code;
mod ftrace;
mod kprobe;
mod modules;

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use execmem::{Engine, Extent, Kind, Memory, Stats};
use execmem_clients::Usage;
use execmem_linux::{Linux, Options};
use execmem_sim::Sim;
use execmem_types::NamedTable;

use self::code::Samples;
use super::process::measure_process;
use super::report::{CallerReport, Checked, Report, SharedBlocks};
use crate::args::BackendChoice;
use crate::generate;
use crate::workload::{Callers, Policy};

const BLOCK_BYTES: u64 = 2 << 20;

/// An engine, and whether what is in it can be executed here; if not, it is read back and compared.
#[derive(Debug)]
struct Place<'e, B> {
    engine: &'e Engine<B>,
    executes: bool,
    /// What callers are given.
    samples: Samples,
}

/// What a caller holds at the fullest moment: its account, its code, and what came of executing it.
#[derive(Debug)]
struct Held {
    caller: &'static str,
    usage: Usage,
    extents: Vec<Extent>,
    /// What the allocator that it had to itself took: pages of slots, a page a trampoline, a program, a kind of a module.
    baseline_pages: u64,
    results: Checked,
}

/// Runs the load on the memory chosen.
pub(crate) fn run(choice: BackendChoice, named: &NamedTable, load: &Callers, report: &mut Report) -> Result<()> {
    match choice {
        BackendChoice::Linux => {
            let linux = Linux::reserve(&Options::default())?;
            let engine = Engine::new(linux.table()?, linux)?;
            let samples = samples(&engine)?;
            let place = Place { engine: &engine, executes: generate::runs_here(), samples };
            run_in(&place, load, report, measure_process)
        }
        BackendChoice::Sim => {
            let sim = Sim::new(named.table.machine());
            let machine = sim.control();
            let engine = Engine::new(named.table, sim)?;
            let samples = samples(&engine)?;
            let place = Place { engine: &engine, executes: false, samples };
            run_in(&place, load, report, |engine, report| {
                report.add_mappings(&engine.stats());
                report.wx_bytes += machine.wx_bytes();
                Ok(())
            })
        }
    }
}

/// The code for the machine of an engine.
fn samples<B: Memory<Kind>>(engine: &Engine<B>) -> Result<Samples> {
    let machine = engine.table().machine();
    Samples::of(machine.instructions).with_context(|| format!("the callers have no code for {}", machine.name))
}

fn run_in<B: Memory<Kind>>(
    place: &Place<'_, B>,
    load: &Callers,
    report: &mut Report,
    measure: impl Fn(&Engine<B>, &mut Report) -> Result<()>,
) -> Result<()> {
    let before = place.engine.stats();
    let modules = modules::load(place, load)?;
    let probes = kprobe::set(place, load)?;
    let tracers = ftrace::register(place, load)?;
    let programs = match load.bpf.policy {
        Policy::Engine => bpf::install(place, load)?,
        Policy::ProgPack => bpf::install_packed(place, load)?,
    };
    let held = [modules.held()?, probes.held()?, tracers.held()?, programs.held()];
    report.add_engine(place.engine);
    measure(place.engine, report)?;
    report.audited(place.engine.audit());
    report.baseline_mappings += held.iter().map(|held| held.baseline_pages).sum::<u64>();
    report.shared_blocks = Some(shared_blocks(&held));
    report.callers.extend(held.iter().map(caller_report));
    programs.unload()?;
    tracers.unload()?;
    probes.unload()?;
    modules.unload();
    report.audited(place.engine.audit_unused());
    place.engine.shrink();
    report.audited(place.engine.audit());
    report.audited(check_same(&before, &place.engine.stats()));
    Ok(())
}

/// Whether an engine holds what it held before.
fn check_same(before: &Stats, after: &Stats) -> Result<(), String> {
    let live = |stats: &Stats| stats.kinds.values().map(|kind| (kind.live, kind.bytes_granted)).collect::<Vec<_>>();
    let blocks = |stats: &Stats| stats.pools().map(|(_, pool)| (pool.blocks, pool.bytes_mapped)).collect::<Vec<_>>();
    if live(before) != live(after) {
        return Err("I9: allocations are left after unloading".to_owned());
    }
    if blocks(before) != blocks(after) {
        return Err(format!("I1: {:#x} bytes stay mapped after unloading", after.bytes_mapped()));
    }
    Ok(())
}

fn caller_report(held: &Held) -> CallerReport {
    let Usage { allocations, live, bytes, peak_bytes, refused } = held.usage;
    CallerReport { caller: held.caller, allocations, live, bytes, peak_bytes, refused, results: held.results }
}

/// Counts the blocks with code of several callers.
fn shared_blocks(held: &[Held]) -> SharedBlocks {
    let mut callers: BTreeMap<u64, u32> = BTreeMap::new();
    for (bit, held) in held.iter().enumerate() {
        for extent in &held.extents {
            for block in extent.start() / BLOCK_BYTES..=extent.last() / BLOCK_BYTES {
                *callers.entry(block).or_default() |= 1 << bit;
            }
        }
    }
    let with = |least: u32| callers.values().filter(|bits| bits.count_ones() >= least).count() as u64;
    let all = u32::try_from(held.len()).unwrap_or(u32::MAX);
    SharedBlocks { block_bytes: BLOCK_BYTES, blocks: with(1), shared: with(2), by_all: with(all) }
}

impl<B: Memory<Kind>> Place<'_, B> {
    /// Whether code returns what it should: executed, or compared with what was to be there.
    fn is_right(&self, address: u64, code: &[u8], result: impl FnOnce() -> bool) -> Result<bool> {
        if self.executes {
            return Ok(result());
        }
        let mut found = vec![0; code.len()];
        self.engine.read_at(address, &mut found)?;
        Ok(found == code)
    }
}

/// Counts a result.
fn count(results: &mut Checked, is_right: bool) {
    results.checked += 1;
    results.wrong += u64::from(!is_right);
}
