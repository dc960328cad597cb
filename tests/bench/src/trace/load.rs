//! The load of one thread: its live functions, and what it does next.

use std::sync::mpsc::SyncSender;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};

use super::Plan;
use crate::code::{self, RUNS_HERE, Template};
use crate::measure::ns_since;
use crate::peers::Peer;
use crate::random::{Random, SEED};

/// Functions that a collector is given at a time.
const GROUP: usize = 64;

/// A live function.
#[derive(Debug)]
struct Function<C> {
    code: C,
    len: usize,
    tag: u32,
}

/// The load of one thread. Aligned so that no two share a cache line, nor the two lines that are fetched together.
#[derive(Debug)]
#[repr(align(128))]
pub(crate) struct Load<C> {
    plan: Plan,
    random: Random,
    template: Template,
    /// One a slot; as long as the plan has live functions, from the beginning.
    slots: Vec<Option<Function<C>>>,
    /// Of the function installed last; no two functions of a load have the same.
    tag: u32,
    live_bytes: usize,
}

impl<C: Send> Load<C> {
    /// The load of the thread of a number. Its memory is touched, so that what is measured later is the peer's.
    pub(crate) fn new(plan: Plan, thread: usize) -> Self {
        Load {
            plan,
            random: Random::new(SEED ^ ((thread as u64) << 32)),
            template: Template::new(plan.max_bytes),
            slots: (0..plan.live).map(|_| None).collect(),
            tag: 0,
            live_bytes: 0,
        }
    }

    /// Installs a function in every slot.
    pub(crate) fn fill<P: Peer<Code = C>>(&mut self, peer: &P) -> Result<()> {
        (0..self.slots.len()).try_for_each(|slot| self.install(peer, slot))
    }

    /// Frees a random function and installs another, `steps` times.
    pub(crate) fn churn<P: Peer<Code = C>>(&mut self, peer: &P, steps: usize) -> Result<()> {
        (0..steps).try_for_each(|_| {
            let slot = self.random.range(0, self.slots.len());
            self.remove(peer, slot)?;
            self.install(peer, slot)
        })
    }

    /// The same, but those replaced go to a collector, which frees them when it likes.
    pub(crate) fn replace<P: Peer<Code = C>>(
        &mut self,
        peer: &P,
        steps: usize,
        collector: &SyncSender<Vec<C>>,
    ) -> Result<()> {
        let mut group = Vec::with_capacity(GROUP);
        for _ in 0..steps {
            let slot = self.random.range(0, self.slots.len());
            group.push(self.take(slot)?);
            self.install(peer, slot)?;
            if group.len() == GROUP {
                let full = std::mem::replace(&mut group, Vec::with_capacity(GROUP));
                collector.send(full).ok().context("the collector is gone")?;
            }
        }
        collector.send(group).ok().context("the collector is gone")
    }

    /// [Churns](Self::churn), with the nanoseconds of every step, the shortest first.
    pub(crate) fn churn_timed<P: Peer<Code = C>>(&mut self, peer: &P, steps: usize) -> Result<Vec<u32>> {
        let mut times = Vec::with_capacity(steps);
        for _ in 0..steps {
            let start = Instant::now();
            self.churn(peer, 1)?;
            times.push(ns_since(start));
        }
        times.sort_unstable();
        Ok(times)
    }

    /// Puts the functions in random order.
    pub(crate) fn shuffle(&mut self) {
        self.random.shuffle(&mut self.slots);
    }

    /// Frees every function in the order of the slots.
    pub(crate) fn empty<P: Peer<Code = C>>(&mut self, peer: &P) -> Result<()> {
        (0..self.slots.len()).try_for_each(|slot| self.remove(peer, slot))
    }

    fn install<P: Peer<Code = C>>(&mut self, peer: &P, slot: usize) -> Result<()> {
        let len = (self.plan.size)(&mut self.random);
        self.tag += 1;
        let tag = self.tag;
        let code = self.template.with(len, tag, |bytes| peer.install(bytes))?;
        self.slots[slot] = Some(Function { code, len, tag });
        self.live_bytes += len;
        Ok(())
    }

    fn remove<P: Peer<Code = C>>(&mut self, peer: &P, slot: usize) -> Result<()> {
        peer.remove(self.take(slot)?)
    }

    fn take(&mut self, slot: usize) -> Result<C> {
        let function = self.slots[slot].take().context("an empty slot")?;
        self.live_bytes -= function.len;
        Ok(function.code)
    }

    /// Bytes of the live functions.
    pub(crate) const fn live_bytes(&self) -> usize {
        self.live_bytes
    }

    /// Calls every live function and looks at its last bytes.
    pub(crate) fn check<P: Peer<Code = C>>(&self, peer: &P) -> Result<()> {
        for function in self.slots.iter().flatten() {
            let entry = peer.entry(&function.code);
            // SAFETY: a function of this length was installed there and is live: the load holds its handle.
            let tail = unsafe { code::tail(entry, function.len) };
            ensure!(tail == function.tag, "the end of function {} is {tail:#x}", function.tag);
            if P::EXECUTES && RUNS_HERE {
                // SAFETY: likewise, and the peer made it executable.
                let answer = unsafe { code::call(entry) };
                ensure!(answer == function.tag, "function {} answers {answer:#x}", function.tag);
            }
        }
        Ok(())
    }

    /// What the peer returned for every live function.
    pub(crate) fn codes(&self) -> impl Iterator<Item = &C> {
        self.slots.iter().flatten().map(|function| &function.code)
    }

    /// Entry and tag of every live function.
    pub(crate) fn entries<P: Peer<Code = C>>(&self, peer: &P) -> Vec<(usize, u32)> {
        self.slots.iter().flatten().map(|function| (peer.entry(&function.code), function.tag)).collect()
    }
}
