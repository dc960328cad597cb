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
/// Replacements after which a thread says what is live, and after which it looks at everything.
const STEPS: usize = 50;
const STEPS_TO_CHECK: usize = 5_000;
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// What the threads tell the observer.
#[derive(Debug, Default)]
struct Progress {
    live_bytes: [AtomicUsize; THREADS],
    /// The most that was live in all threads.
    high_water_bytes: AtomicUsize,
    pairs: AtomicUsize,
    is_over: AtomicBool,
}

impl Progress {
    /// A thread has so many live bytes now.
    fn note(&self, thread: usize, live_bytes: usize) {
        self.live_bytes[thread].store(live_bytes, Ordering::Relaxed);
        let all = self.live_bytes.iter().map(|bytes| bytes.load(Ordering::Relaxed)).sum();
        self.high_water_bytes.fetch_max(all, Ordering::Relaxed);
    }

    /// Whether all threads have their live programs.
    fn is_filled(&self) -> bool {
        self.live_bytes.iter().all(|bytes| bytes.load(Ordering::Relaxed) > 0)
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
    println!(
        "{} pairs; executable bytes at most {:.3} of the most that was live",
        progress.pairs.into_inner(),
        worst.ratio()
    );
    println!("that was {} of {} bytes, after {} pairs", worst.executable_bytes, worst.high_water_bytes, worst.pairs);
    let is_good = worst.ratio() > 0.0 && worst.ratio() <= LIMIT;
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
            for _ in 0..STEPS_TO_CHECK / STEPS {
                load.churn(peer, STEPS)?;
                progress.note(thread, load.live_bytes());
            }
            progress.pairs.fetch_add(STEPS_TO_CHECK, Ordering::Relaxed);
            load.check(peer)?;
        }
        load.empty(peer)
    });
    // A thread that failed must not keep the other running.
    outcome.inspect_err(|_| progress.is_over.store(true, Ordering::Relaxed))
}

/// When the most was mapped beside what had been live by then.
#[derive(Debug, Default, Clone, Copy)]
struct Worst {
    executable_bytes: u64,
    high_water_bytes: usize,
    pairs: usize,
}

impl Worst {
    /// Executable bytes per byte of the high-water mark; 0 before anybody looked.
    fn ratio(&self) -> f64 {
        self.executable_bytes as f64 / self.high_water_bytes.max(1) as f64
    }
}

/// Looks until the time is over, or a thread failed.
fn watch(progress: &Progress, before: u64, time: Duration) -> Result<Worst> {
    let (start, mut worst) = (Instant::now(), Worst::default());
    while start.elapsed() < time && !progress.is_over.load(Ordering::Relaxed) {
        std::thread::sleep(LOOK_EVERY.min(time));
        if !progress.is_filled() {
            continue;
        }
        let executable_bytes = Memory::now()?.executable.saturating_sub(before);
        let high_water_bytes = progress.high_water_bytes.load(Ordering::Relaxed);
        let now = Worst { executable_bytes, high_water_bytes, pairs: progress.pairs.load(Ordering::Relaxed) };
        if now.ratio() > worst.ratio() {
            worst = now;
        }
    }
    Ok(worst)
}
