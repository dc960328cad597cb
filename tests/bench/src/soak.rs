//! The soak: two threads replace programs for minutes, and what stays mapped is compared with what was live.

use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use crate::measure::Memory;
use crate::peers::{Execmem, Peer};
use crate::trace::{Load, Plan};

/// Executable bytes may exceed the most that was live by this factor.
const LIMIT: f64 = 1.15;
const THREADS: usize = 2;
/// Replacements between two looks at everything.
const STEPS: usize = 5_000;
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// What the threads tell whoever looks.
#[derive(Debug, Default)]
struct Progress {
    live_bytes: [AtomicUsize; THREADS],
    pairs: AtomicUsize,
    is_over: AtomicBool,
}

impl Progress {
    /// Bytes live in all threads; `None` while one of them is not filled yet.
    fn live(&self) -> Option<usize> {
        let live = self.live_bytes.iter().map(|bytes| bytes.load(Ordering::Relaxed));
        live.map(|bytes| (bytes > 0).then_some(bytes)).sum()
    }
}

/// Runs the soak. The exit status is 1 if too much was mapped.
pub(crate) fn run(minutes: f64) -> Result<ExitCode> {
    let plan = Plan::named("T1").context("T1")?;
    let before = Memory::now()?.executable;
    let peer = Execmem::new(plan.kind)?;
    let progress = Progress::default();
    let worst = std::thread::scope(|scope| {
        let (peer, progress) = (&peer, &progress);
        let threads = [0, 1].map(|thread| scope.spawn(move || replace(&plan, thread, peer, progress)));
        let watched = watch(progress, before, Duration::from_secs_f64(minutes * 60.0));
        progress.is_over.store(true, Ordering::Relaxed);
        let ended = threads.into_iter().try_for_each(|thread| thread.join().unwrap_or_else(|_| panicked()));
        ended.and(watched)
    })?;
    peer.finish()?;
    println!("{} pairs; executable bytes at most {worst:.3} of the most that was live", progress.pairs.into_inner());
    let is_good = worst > 0.0 && worst <= LIMIT;
    if !is_good {
        eprintln!("the limit is {LIMIT}");
    }
    Ok(if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn panicked() -> Result<()> {
    anyhow::bail!("a thread panicked")
}

/// The load of a thread until it is over.
fn replace(plan: &Plan, thread: usize, peer: &Execmem, progress: &Progress) -> Result<()> {
    let mut load = Load::new(*plan, thread);
    let outcome = load.fill(peer).and_then(|()| {
        while !progress.is_over.load(Ordering::Relaxed) {
            progress.live_bytes[thread].store(load.live_bytes(), Ordering::Relaxed);
            load.churn(peer, STEPS)?;
            progress.pairs.fetch_add(STEPS, Ordering::Relaxed);
            load.check(peer)?;
        }
        load.empty(peer)
    });
    // A thread that failed must not keep the other running.
    outcome.inspect_err(|_| progress.is_over.store(true, Ordering::Relaxed))
}

/// Looks until the time is over, or a thread failed. Returns the largest executable bytes per high-water byte.
fn watch(progress: &Progress, before: u64, time: Duration) -> Result<f64> {
    let (start, mut high_water, mut worst) = (Instant::now(), 0, 0.0_f64);
    while start.elapsed() < time && !progress.is_over.load(Ordering::Relaxed) {
        std::thread::sleep(LOOK_EVERY.min(time));
        let Some(live) = progress.live() else { continue };
        high_water = live.max(high_water);
        let mapped = Memory::now()?.executable.saturating_sub(before);
        worst = worst.max(mapped as f64 / high_water as f64);
    }
    Ok(worst)
}
