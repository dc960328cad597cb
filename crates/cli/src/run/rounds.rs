//! Every module of a folder loaded and unloaded again by several threads, in another order each round. After each, the engine
//! is what it was before the first.

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context as _, Result};
use execmem::{Engine, Table};
use execmem_clients::module::{Loader, Module};
use execmem_sim::{Random, Sim};

use super::modules::{Copies, Symbols};
use super::progress;
use super::report::Report;
use crate::inputs::module_file::unpacked;

/// Threads that load, and unload.
pub(crate) const THREADS: usize = 4;

type Loaded<'e> = Module<&'e Engine<Sim>, &'e Copies>;

/// Loads and unloads the modules that can be loaded, `count` times.
pub(super) fn run(files: &[PathBuf], table: &Table, count: u64, report: &mut Report) -> Result<()> {
    let sim = Sim::new(table.machine());
    let machine = sim.control();
    let mut engine = Engine::new(*table, sim)?;
    let start = bookkeeping(&engine);
    let mut random = Random::new(count);
    let bar = progress(count, "rounds");
    for round in 1..=count {
        let loaded = once(files, &engine, &mut random)?;
        let stats = engine.stats();
        let withheld: u64 = stats.pools().map(|(_, pool)| pool.bytes_withheld).sum();
        let live: u64 = stats.kinds.iter().map(|(_, kind)| kind.live).sum();
        report.audited(engine.audit());
        engine.shrink_exclusively();
        let left =
            (live, withheld, machine.leaves().len(), bookkeeping(&engine), report.modules_loaded.abs_diff(loaded));
        if left != (0, 0, 0, start, 0) {
            report.audited(Err(format!(
                "I1: round {round}: {} allocations are live, {} bytes withheld, {} page sizes mapped, {} bytes of \
                 bookkeeping where {start} were at the start, {} modules more or fewer",
                left.0, left.1, left.2, left.3, left.4
            )));
        }
        report.module_rounds += 1;
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(())
}

/// One round. Returns how many modules were loaded.
fn once(files: &[PathBuf], engine: &Engine<Sim>, random: &mut Random) -> Result<u64> {
    let symbols = Symbols::of(engine.table()).context("the table has no room for a kernel")?;
    let copies = symbols.copies();
    let loader = Loader::new(engine)?.with_per_cpu(&copies);
    let next = AtomicUsize::new(0);
    let load = || {
        let files = core::iter::from_fn(|| files.get(next.fetch_add(1, Ordering::Relaxed)));
        // Those that cannot be loaded were named when they were loaded for the first time.
        let load = |file: &PathBuf| {
            let coming = loader.load(&unpacked(file).ok()?, &|name: &str| Some(symbols.address(name))).ok()?;
            coming.finish_or_unload().ok()
        };
        files.filter_map(load).collect::<Vec<Loaded<'_>>>()
    };
    let mut loaded = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(load)).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap_or_default()).collect::<Vec<_>>()
    });
    let count = loaded.len();
    random.shuffle(&mut loaded);
    let share = count.div_ceil(THREADS).max(1);
    std::thread::scope(|scope| {
        while !loaded.is_empty() {
            let some = loaded.split_off(loaded.len().saturating_sub(share));
            scope.spawn(move || some.into_iter().for_each(Module::unload));
        }
    });
    Ok(count as u64)
}

fn bookkeeping(engine: &Engine<Sim>) -> u64 {
    engine.stats().pools().map(|(_, pool)| pool.bookkeeping_bytes).sum()
}
