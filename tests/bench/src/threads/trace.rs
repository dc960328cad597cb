//! What the threads do: T1's programs, replaced.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context as _, Result};
use execmem::sync::Locking;
use execmem::{BackendError, Engine, Extent, Hooked, Hooks, Kind, Live, Memory};
use execmem_arch_x86::TABLE;
use execmem_sim::Nowhere;

use super::clock::{self, Counts, Lock, MAP_NS, OUTSIDE_NS};
use super::rules;
use super::turns::Turns;
use crate::random::{Random, SEED};
use crate::trace::Plan;

/// Live programs of a thread.
const LIVE: usize = 5_000;

/// Whose programs a thread frees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Owners {
    /// Its own.
    Own,
    /// Those of a thread that has ended, then its own, as in T4.
    Left,
    /// Anybody's.
    Anybody,
}

impl Owners {
    pub(super) const ALL: [(Self, &'static str); 3] = [
        (Owners::Own, "5,000 live programs a thread, each replaces its own"),
        (Owners::Left, "5,000 live programs a thread, each replaces those of one that has ended"),
        (Owners::Anybody, "5,000 live programs a thread, each replaces anybody's"),
    ];
}

/// What came of it.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) pairs: usize,
    /// The paces of all threads together, without filling.
    pub(super) pairs_per_us: f64,
    /// The times of all threads together.
    ns: u64,
    pub(super) counts: Counts,
    /// Blocks that were mapped.
    pub(super) blocks: u64,
}

impl Outcome {
    /// Of the time of all threads.
    pub(super) fn waiting_share(&self) -> f64 {
        self.counts.waited_ns as f64 / self.ns.max(1) as f64
    }
}

/// Mapping a block takes time.
#[derive(Debug, Default)]
struct Costs(AtomicU64);

impl Hooks<Kind> for Costs {
    fn mapped(&self, _: Kind, _: Extent) -> Result<(), BackendError> {
        clock::pass(MAP_NS);
        self.0.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

type Slots = Vec<Mutex<Vec<Option<Live>>>>;

/// Runs the load on so many threads by the rules of `L`.
pub(super) fn run<L: Locking<Spin = Lock<true>, Sleep = Lock<false>>>(
    threads: usize,
    steps: usize,
    owners: Owners,
) -> Result<Outcome> {
    let costs = Costs::default();
    let engine: Engine<_, Kind, L> = Engine::with_locks(TABLE, Hooked { memory: Nowhere, hooks: &costs })?;
    let slots: Slots = (0..threads).map(|_| Mutex::new((0..LIVE).map(|_| None).collect())).collect();
    let load = Load { engine: &engine, slots: &slots, owners };
    // Threads that end when everything is live, or go on.
    let (first, second) = if owners == Owners::Left { (0..LIVE, LIVE..LIVE + steps) } else { (0..LIVE + steps, 0..0) };
    let filled = load.on_threads(first, 0)?;
    let start_ns = filled.iter().map(|done| done.end_ns).max().unwrap_or(0);
    let replaced = if second.is_empty() { filled } else { load.on_threads(second, start_ns)? };
    engine.audit().ok().context("the audit found a broken invariant")?;
    let mut counts = Counts::default();
    replaced.iter().for_each(|done| counts.add(done.counts));
    let times = replaced.iter().map(|done| done.end_ns - done.start_ns);
    Ok(Outcome {
        pairs: threads * steps,
        pairs_per_us: times.clone().map(|ns| steps as f64 * 1e3 / ns.max(1) as f64).sum(),
        ns: times.sum(),
        counts,
        blocks: costs.0.load(Ordering::Relaxed),
    })
}

/// What a thread did of the replacements: from and to when, and what happened to it.
#[derive(Debug, Clone, Copy, Default)]
struct Done {
    start_ns: u64,
    end_ns: u64,
    counts: Counts,
}

/// What all threads work on.
struct Load<'a, M, L: Locking> {
    engine: &'a Engine<M, Kind, L>,
    slots: &'a Slots,
    owners: Owners,
}

impl<M: Memory<Kind> + Sync, L: Locking<Spin = Lock<true>, Sleep = Lock<false>>> Load<'_, M, L> {
    /// Does some steps on a thread for each list of slots. Their clocks begin at a time.
    fn on_threads(&self, steps: Range<usize>, start_ns: u64) -> Result<Vec<Done>> {
        let turns = Turns::new(self.slots.len(), start_ns);
        std::thread::scope(|scope| {
            let begin = |number| {
                let (turns, steps) = (&turns, steps.clone());
                scope.spawn(move || self.on_thread(turns, number, steps, start_ns))
            };
            let all: Vec<_> = (0..self.slots.len()).map(begin).collect();
            all.into_iter().map(|thread| thread.join().ok().context("a thread panicked")?).collect()
        })
    }

    fn on_thread(&self, turns: &Turns, number: usize, steps: Range<usize>, start_ns: u64) -> Result<Done> {
        rules::set_number(number);
        clock::pass(start_ns);
        let size = Plan::named("T4").context("T4")?.size;
        let mut random = Random::new(SEED ^ ((number as u64) << 32 | steps.start as u64));
        let mut done = Done { start_ns, ..Done::default() };
        turns.take(number, steps, |step| -> Result<()> {
            let is_own = self.owners != Owners::Anybody || step < LIVE;
            let owner = if is_own { number } else { random.below(self.slots.len()) };
            let slot = if step < LIVE { step } else { random.below(LIVE) };
            self.replace(owner, slot, size(&mut random))?;
            if step < LIVE {
                done = Done { start_ns: clock::now_ns(), end_ns: 0, counts: clock::counts() };
            }
            Ok(())
        })?;
        Ok(Done { end_ns: clock::now_ns(), counts: clock::counts().since(done.counts), ..done })
    }

    fn replace(&self, owner: usize, slot: usize, len: usize) -> Result<()> {
        let mut slots = self.slots[owner].lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(old) = slots[slot].take() {
            self.engine.free(old)?;
        }
        clock::pass(OUTSIDE_NS);
        let draft = self.engine.alloc_kind(Kind::Bpf, len as u64)?;
        slots[slot] = Some(self.engine.publish(draft)?);
        Ok(())
    }
}
