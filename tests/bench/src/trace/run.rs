//! Running a trace on a peer: its phases, and what is measured around them.

use std::sync::{Barrier, mpsc};
use std::time::Instant;

use anyhow::{Context as _, Result};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use super::{Load, Plan, Timed};
use crate::code::{self, RUNS_HERE};
use crate::measure::{Measures, Memory, cpu_time, ns_per, ns_per_call, p99_9};
use crate::peers::Peer;

/// Groups that wait for a collector at most.
const GROUPS_WAITING: usize = 4;

/// Runs a trace and measures it.
pub(crate) fn measure<P: Peer>(plan: &Plan) -> Result<Measures> {
    let mut loads = loads::<P>(plan);
    let before = Memory::now()?;
    let peer = P::new(plan.kind)?;
    let start = cpu_time();
    each(&mut loads, |load| load.fill(&peer))?;
    let filled = cpu_time() - start;
    let (start, wall) = (cpu_time(), Instant::now());
    each(&mut loads, |load| churn(plan, load, &peer))?;
    let (churned, wall) = (cpu_time() - start, wall.elapsed());
    let mut measures = measure_live(&loads, &peer, before)?;
    if let ([load], Timed::Churn) = (&mut loads[..], plan.timed) {
        // One by one and once more, so that reading the clock is in no other measure.
        let times = load.churn_timed(&peer, plan.steps)?;
        measures.insert("p99_9_ns".into(), p99_9(&times));
    }
    loads.iter_mut().for_each(Load::shuffle);
    let start = cpu_time();
    each(&mut loads, |load| load.empty(&peer))?;
    let emptied = cpu_time() - start;
    if plan.threads > 1 {
        measures.extend(peer.counts(plan.pairs()));
    }
    peer.finish()?;
    let timed = match plan.timed {
        Timed::Churn | Timed::Collected => churned,
        Timed::FillAndEmpty => filled + emptied,
    };
    measures.insert("cpu_ns_per_pair".into(), ns_per(timed, plan.pairs()));
    if plan.timed != Timed::FillAndEmpty {
        measures.insert("wall_ns_per_pair".into(), ns_per(wall, plan.pairs()));
    }
    Ok(measures)
}

/// Runs a trace between two marks, for counts of system calls.
pub(crate) fn count_system_calls<P: Peer>(plan: &Plan) -> Result<()> {
    let mut loads = loads::<P>(plan);
    execmem_syscalls::wait_for_counter()?;
    execmem_syscalls::mark()?;
    let peer = P::new(plan.kind)?;
    each(&mut loads, |load| load.fill(&peer))?;
    each(&mut loads, |load| churn(plan, load, &peer))?;
    loads.iter_mut().for_each(Load::shuffle);
    each(&mut loads, |load| load.empty(&peer))?;
    execmem_syscalls::mark()?;
    peer.finish()
}

/// Runs the phases and nothing else, for counts of instructions.
pub(crate) fn run_bare<P: Peer>(plan: &Plan) -> Result<()> {
    let mut loads = loads::<P>(plan);
    let peer = P::new(plan.kind)?;
    each(&mut loads, |load| load.fill(&peer))?;
    each(&mut loads, |load| churn(plan, load, &peer))?;
    loads.iter().try_for_each(|load| load.check(&peer))
}

fn loads<P: Peer>(plan: &Plan) -> Vec<Load<P::Code>> {
    (0..plan.threads).map(|thread| Load::new(*plan, thread)).collect()
}

/// Does something with every load, each on a thread and a processor of its own if there are several: left to the
/// scheduler, threads share a processor in some runs, and what they do at a time is done one after the other.
fn each<C: Send>(loads: &mut [Load<C>], work: impl Fn(&mut Load<C>) -> Result<()> + Sync) -> Result<()> {
    if let [load] = loads {
        return work(load);
    }
    let start = Barrier::new(loads.len());
    let begin = |thread, load| {
        let is_alone = stay_on_processor(thread);
        start.wait();
        is_alone.and_then(|()| work(load))
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> =
            loads.iter_mut().enumerate().map(|(thread, load)| scope.spawn(move || begin(thread, load))).collect();
        threads.into_iter().try_for_each(|thread| thread.join().unwrap_or_else(|_| anyhow::bail!("a thread panicked")))
    })
}

/// Keeps the calling thread on one of the processors that it may use.
fn stay_on_processor(thread: usize) -> Result<()> {
    let allowed = sched_getaffinity(None)?;
    let mut processors = (0..CpuSet::MAX_CPU).filter(|processor| allowed.is_set(*processor)).cycle();
    let mut own = CpuSet::new();
    own.set(processors.nth(thread).context("no processor")?);
    Ok(sched_setaffinity(None, &own)?)
}

/// Replaces functions as the plan says.
fn churn<P: Peer>(plan: &Plan, load: &mut Load<P::Code>, peer: &P) -> Result<()> {
    if plan.timed != Timed::Collected {
        return load.churn(peer, plan.steps);
    }
    std::thread::scope(|scope| {
        let (sender, groups) = mpsc::sync_channel::<Vec<P::Code>>(GROUPS_WAITING);
        let collect = move || groups.into_iter().try_for_each(|mut group| peer.remove_group(&mut group));
        let collector = scope.spawn(collect);
        let replaced = load.replace(peer, plan.steps, &sender);
        drop(sender);
        let collected = collector.join().unwrap_or_else(|_| anyhow::bail!("the collector panicked"));
        collected.and(replaced)
    })
}

/// Checks every live function, and measures the placement that the trace left.
fn measure_live<P: Peer>(loads: &[Load<P::Code>], peer: &P, before: Memory) -> Result<Measures> {
    let now = Memory::now()?;
    loads.iter().try_for_each(|load| load.check(peer))?;
    let live: usize = loads.iter().map(Load::live_bytes).sum();
    let per_live = |bytes: u64| bytes as f64 / live as f64;
    let mut measures = Measures::from([
        ("live_bytes".into(), live as f64),
        ("resident_per_live".into(), per_live(now.resident.saturating_sub(before.resident))),
        ("wx_bytes".into(), now.writable_and_executable as f64),
    ]);
    if P::EXECUTES {
        measures.insert("mapped_per_live".into(), per_live(now.executable - before.executable));
        measures.insert("large_mapped_bytes".into(), (now.large - before.large) as f64);
        let entries: Vec<_> = loads.iter().flat_map(|load| load.entries(peer)).collect();
        if RUNS_HERE {
            let call = |index: usize| {
                let (entry, tag) = entries[index];
                // SAFETY: the entries are of functions that are live while the caller holds their handles.
                (u64::from(unsafe { code::call(entry) }), u64::from(tag))
            };
            measures.insert("ns_per_call".into(), ns_per_call(entries.len(), call)?);
        }
    }
    Ok(measures)
}
