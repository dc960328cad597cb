//! Traces of allocating ranges alone: no memory behind them, the same operations for every allocator.
//!
//! Lengths are in granules of 64 bytes before an allocator sees them, so all serve the same multiples.

mod ops;
mod peers;
mod r1;
mod r2;
mod r3;
mod r4;
mod r5;
mod replay;
mod sizes;

use anyhow::{Result, bail, ensure};

use crate::measure::Measures;
use ops::Ops;
use peers::{BTree, Buddy, OffsetAllocator, Tlsf};

pub(crate) use peers::ExecmemRange;

/// What every length is a multiple of.
const GRANULE: usize = 64;
const GRANULE_BYTES: u64 = GRANULE as u64;

/// What most traces run with.
const COUNTS: &[usize] = &[10_000, 100_000];

/// A trace of ranges.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    /// Numbers of ranges it runs with.
    pub(crate) counts: &'static [usize],
    make: fn(usize) -> Ops,
}

impl Plan {
    /// All traces.
    pub(crate) const ALL: [Plan; 7] = [r1::PLAN, r2::PLAN, r3::PLAN, r4::NO_HOLE, r4::TIGHT, r4::MISALIGNED, r5::PLAN];

    /// The peers.
    pub(crate) fn peers(&self) -> &'static [&'static str] {
        if self.name == r5::PLAN.name {
            &["btree", "execmem-range"]
        } else {
            &["btree", "offset-allocator", "buddy", "rlsf", "execmem-range"]
        }
    }

    /// Runs the trace with `count` ranges on the allocator of a name.
    pub(crate) fn measure(&self, peer: &str, count: usize) -> Result<Measures> {
        ensure!(self.peers().contains(&peer), "{peer} takes no part in {}", self.name);
        let ops = (self.make)(count);
        match peer {
            "btree" if !ops.lookups.is_empty() => replay::look_up::<BTree>(&ops),
            "execmem-range" if !ops.lookups.is_empty() => replay::look_up::<ExecmemRange>(&ops),
            "btree" => replay::measure::<BTree>(&ops),
            "offset-allocator" => replay::measure::<OffsetAllocator>(&ops),
            "buddy" => replay::measure::<Buddy>(&ops),
            "rlsf" => replay::measure::<Tlsf>(&ops),
            "execmem-range" => replay::measure::<ExecmemRange>(&ops),
            _ => bail!("no such allocator of ranges"),
        }
    }

    /// Runs at most `steps` timed operations of the trace and nothing else, for counts of instructions.
    pub(crate) fn run_bare(&self, peer: &str, count: usize, steps: usize) -> Result<()> {
        let ops = (self.make)(count).cut(steps);
        match peer {
            "btree" => replay::run_bare::<BTree>(&ops),
            _ => replay::run_bare::<ExecmemRange>(&ops),
        }
    }
}
