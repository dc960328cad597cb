//! The suite: every property on every configuration, against a naive oracle.

mod faults;
mod naive;
mod named;
mod ops;
mod readers;

use alloc::vec::Vec;

use quickcheck::{QuickCheck, TestResult};

use crate::Arena;
use naive::Naive;
use ops::{Op, SPACE};

/// A configuration of the arena under test.
#[derive(Debug, Clone, Copy)]
struct Setup {
    quantum_log2: u32,
    ready_log2: Option<u32>,
    /// Spans managed from the start, in quanta.
    spans: &'static [(u64, u64)],
}

impl Setup {
    fn arena(&self) -> Arena {
        let arena = Arena::new(self.quantum_log2).expect("quantum");
        let mut arena = match self.ready_log2 {
            Some(share) => arena.keeping_ready(share).expect("memory"),
            None => arena,
        };
        for &(start, end) in self.spans {
            arena.add(start << self.quantum_log2..end << self.quantum_log2).expect("span");
        }
        arena
    }

    fn naive(&self) -> Naive {
        let mut naive = Naive::new(1 << self.quantum_log2);
        for &(start, end) in self.spans {
            naive.add(start << self.quantum_log2..end << self.quantum_log2);
        }
        naive
    }
}

/// Runs the operations on both, compares every answer, and audits after each.
fn agrees(setup: &Setup, ops: &[Op]) -> Result<(), alloc::string::String> {
    let mut arena = setup.arena();
    let mut naive = setup.naive();
    let mut held = Vec::new();
    for (step, op) in ops.iter().enumerate() {
        op.run(&mut arena, &mut naive, &mut held).map_err(|why| alloc::format!("step {step}, {op:?}: {why}"))?;
        let totals = arena.audit().map_err(|broken| alloc::format!("step {step}, {op:?}: {broken}"))?;
        let live: Vec<_> = arena.live().collect();
        if live != naive.live() || totals.live_ranges != live.len() || totals.free_len != naive.free_len() {
            return Err(alloc::format!("step {step}, {op:?}: {live:x?} instead of {:x?}", naive.live()));
        }
    }
    Ok(())
}

/// The property for one of the [`SETUPS`].
fn property<const SETUP: usize>(ops: Vec<Op>) -> TestResult {
    match agrees(&SETUPS[SETUP], &ops) {
        Ok(()) => TestResult::passed(),
        Err(why) => TestResult::error(why),
    }
}

fn check<const SETUP: usize>() {
    QuickCheck::new().quickcheck(property::<SETUP> as fn(Vec<Op>) -> TestResult);
}

const SETUPS: [Setup; 4] = [
    Setup { quantum_log2: 6, ready_log2: None, spans: &[(0, SPACE)] },
    Setup { quantum_log2: 4, ready_log2: Some(0), spans: &[(0, SPACE)] },
    Setup { quantum_log2: 12, ready_log2: Some(2), spans: &[(3, 100), (100, 400), (512, SPACE)] },
    Setup { quantum_log2: 0, ready_log2: None, spans: &[(1, 2), (9, SPACE)] },
];

#[test]
fn inv_01_agrees_with_the_oracle_in_one_span() {
    check::<0>();
}

#[test]
fn inv_01_agrees_with_the_oracle_keeping_ready_ranges() {
    check::<1>();
}

#[test]
fn inv_02_agrees_with_the_oracle_across_spans() {
    check::<2>();
}

#[test]
fn inv_02_agrees_with_the_oracle_at_quantum_one() {
    check::<3>();
}
