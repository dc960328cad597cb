//! Replaying a trace on an allocator of ranges.

use std::hint::black_box;
use std::num::NonZeroU64;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};

use super::GRANULE_BYTES;
use super::ops::{Op, Ops};
use crate::measure::{Measures, heap_bytes, ns_per, ns_since, p99_9, thread_cpu_time};

/// Replays of a trace in which every operation is timed; of each, the fastest counts. What others do to the machine
/// drops out, what the allocator does stays in.
const TIMED_REPLAYS: usize = 3;
/// Least space.
const MIN_SPACE_BYTES: u64 = 64 << 20;

/// An allocator of ranges in `0..capacity`. Positions and lengths are in granules.
pub(super) trait Ranges: Sized {
    /// What frees a range, and all that is kept of it: the table of the owners is as large as what is measured.
    type Token: Copy;
    /// Whether its records lie inside the ranges.
    const IN_BAND: bool = false;

    /// `max_live` ranges at a time, at most.
    fn new(capacity: u64, max_live: usize) -> Result<Self>;
    fn alloc(&mut self, granules: u32, align: u32) -> Option<Self::Token>;
    fn free(&mut self, token: Self::Token);
    /// Where a range is that was allocated with an alignment.
    fn position(&self, token: Self::Token, align: u32) -> u64;
    /// Bytes of bookkeeping, if the allocator knows better than the heap does.
    fn bookkeeping_bytes(&self) -> Option<usize> {
        None
    }
}

/// One that can find a range by a position inside.
pub(super) trait LookUp: Ranges {
    /// First position of the live range that contains a position.
    fn find(&self, position: u64) -> Option<u64>;
}

/// A position, as short in an `Option` as by itself: the token of a caller that frees by position.
#[derive(Debug, Clone, Copy)]
pub(super) struct Position(NonZeroU64);

impl Position {
    pub(super) const fn new(position: u64) -> Self {
        Position(NonZeroU64::MIN.saturating_add(position))
    }

    pub(super) const fn get(self) -> u64 {
        self.0.get() - 1
    }
}

/// An allocator and what is live in it.
struct Replay<R: Ranges> {
    ranges: R,
    live: Vec<Option<R::Token>>,
    high_water: u64,
}

impl<R: Ranges> Replay<R> {
    fn new(ops: &Ops) -> Result<Self> {
        let (peak, max_live) = ops.peak();
        let capacity = (4 * peak).next_power_of_two().max(MIN_SPACE_BYTES / GRANULE_BYTES);
        Ok(Replay { ranges: R::new(capacity, max_live)?, live: vec![None; ops.slots], high_water: 0 })
    }

    fn step(&mut self, op: Op) -> Result<()> {
        let slot = &mut self.live[op.slot as usize];
        if op.granules == 0 {
            self.ranges.free(slot.take().context("an empty slot")?);
        } else {
            let token = self.ranges.alloc(op.granules, op.align).context("the space is exhausted")?;
            let end = self.ranges.position(token, op.align) + u64::from(op.granules);
            self.high_water = self.high_water.max(end);
            *slot = Some(token);
        }
        Ok(())
    }

    fn run(&mut self, ops: &[Op]) -> Result<()> {
        ops.iter().try_for_each(|op| self.step(*op))
    }

    /// Live ranges are aligned and do not overlap.
    fn check(&self, ops: &Ops) -> Result<()> {
        let last = ops.last();
        let placed = self.live.iter().zip(&last);
        let placed = placed.filter_map(|(live, op)| Some((self.ranges.position((*live)?, op.align), op)));
        let mut placed: Vec<_> = placed.collect();
        placed.sort_by_key(|(position, _)| *position);
        for (position, op) in &placed {
            ensure!(position % u64::from(op.align) == 0, "{position} is not aligned to {}", op.align);
        }
        for pair in placed.windows(2) {
            ensure!(pair[0].0 + u64::from(pair[0].1.granules) <= pair[1].0, "ranges overlap at {}", pair[1].0);
        }
        Ok(())
    }
}

/// Time, space and bookkeeping of a trace.
pub(super) fn measure<R: Ranges>(ops: &Ops) -> Result<Measures> {
    let (fill, timed) = ops.ops.split_at(ops.timed_from);
    let (peak, _) = ops.peak();
    let heap = heap_bytes();
    let mut replay = Replay::<R>::new(ops)?;
    let own = ops.slots * size_of::<Option<R::Token>>();
    replay.run(fill)?;
    let start = thread_cpu_time();
    replay.run(timed)?;
    let spent = thread_cpu_time() - start;
    replay.check(ops)?;
    let bookkeeping = replay.ranges.bookkeeping_bytes().unwrap_or((heap_bytes() - heap).saturating_sub(own));
    let live = replay.live.iter().flatten().count();
    let high_water = replay.high_water as f64 / peak as f64;
    drop(replay);
    let times = each_op::<R>(ops)?;
    let mut measures = Measures::from([
        ("ns_per_op".into(), ns_per(spent, timed.len())),
        ("p99_9_ns".into(), p99_9(&times)),
        ("max_ns".into(), f64::from(times[times.len() - 1])),
        ("high_water_per_live".into(), high_water),
    ]);
    if !R::IN_BAND {
        measures.insert("metadata_bytes_per_live".into(), bookkeeping as f64 / live.max(1) as f64);
    }
    Ok(measures)
}

/// Nanoseconds of every timed operation, in order of length.
fn each_op<R: Ranges>(ops: &Ops) -> Result<Vec<u32>> {
    let (fill, timed) = ops.ops.split_at(ops.timed_from);
    let mut times = vec![u32::MAX; timed.len()];
    let overhead = (0..1000).map(|_| ns_since(black_box(Instant::now()))).min().unwrap_or(0);
    for _ in 0..TIMED_REPLAYS {
        let mut replay = Replay::<R>::new(ops)?;
        replay.run(fill)?;
        for (op, time) in timed.iter().zip(&mut times) {
            let start = Instant::now();
            replay.step(*op)?;
            *time = ns_since(start).saturating_sub(overhead).min(*time);
        }
    }
    times.sort_unstable();
    Ok(times)
}

/// Time of a look-up.
pub(super) fn look_up<R: LookUp>(ops: &Ops) -> Result<Measures> {
    let mut replay = Replay::<R>::new(ops)?;
    replay.run(&ops.ops)?;
    replay.check(ops)?;
    let last = ops.last();
    let queries = ops.lookups.iter().map(|(slot, part)| {
        let (token, op) = (replay.live[*slot as usize].context("an empty slot")?, last[*slot as usize]);
        let start = replay.ranges.position(token, op.align);
        let inside = (u64::from(*part) * u64::from(op.granules)) >> 32;
        Ok((start + inside, start))
    });
    let queries: Vec<(u64, u64)> = queries.collect::<Result<_>>()?;
    let start = thread_cpu_time();
    let wrong = queries.iter().filter(|(position, start)| replay.ranges.find(*position) != Some(*start)).count();
    let spent = thread_cpu_time() - start;
    ensure!(wrong == 0, "{wrong} look-ups are wrong");
    Ok(Measures::from([("ns_per_lookup".into(), ns_per(spent, queries.len()))]))
}

/// Runs the operations and nothing else.
pub(super) fn run_bare<R: Ranges>(ops: &Ops) -> Result<()> {
    let mut replay = Replay::<R>::new(ops)?;
    replay.run(&ops.ops)?;
    replay.check(ops)
}
