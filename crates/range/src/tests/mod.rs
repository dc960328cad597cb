//! The suite: every property on every configuration, against a naive oracle.

mod alone;
mod faults;
mod naive;
mod named;
mod ops;
mod readers;
pub(crate) mod refusals;
mod sizes;

use alloc::vec::Vec;
use core::ops::Range;

use quickcheck::{QuickCheck, TestResult};

use crate::State;
use alone::Alone;
use naive::Naive;
use ops::{Op, SPACE};

/// An arena with quanta of 64 and one span.
fn arena(len: u64) -> Alone {
    let mut arena = Alone::new(6).expect("quantum");
    arena.add(0..len).expect("span");
    arena
}

/// Allocates what is known to have room, and returns where it starts.
fn alloc(arena: &mut Alone, len: u64) -> u64 {
    arena.try_alloc(len, 1, 0).expect("a good request").expect("room")
}

/// Releases every withheld hole.
fn release_all(arena: &mut Alone) {
    loop {
        let first = arena.withheld().next();
        let Some(hole) = first else { return };
        arena.release(hole.start).expect("withheld");
    }
}

/// The live ranges in order.
fn live(arena: &Alone) -> Vec<Range<u64>> {
    arena.ranges().filter(|(_, state)| *state == State::Live).map(|(range, _)| range).collect()
}

/// A configuration of the arena under test.
#[derive(Debug, Clone, Copy)]
struct Setup {
    quantum_log2: u32,
    /// Spans managed from the start, in quanta.
    spans: &'static [(u64, u64)],
}

impl Setup {
    fn arena(&self) -> Alone {
        let mut arena = Alone::new(self.quantum_log2).expect("quantum");
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
        arena.audit().map_err(|broken| alloc::format!("step {step}, {op:?}: {broken}"))?;
        let found = (arena.ranges().collect::<Vec<_>>(), arena.free_len());
        let right = (naive.ranges(), naive.free_len());
        if found != right {
            return Err(alloc::format!("step {step}, {op:?}: {found:x?} instead of {right:x?}"));
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

const SETUPS: [Setup; 3] = [
    Setup { quantum_log2: 6, spans: &[(0, SPACE)] },
    Setup { quantum_log2: 12, spans: &[(3, 100), (100, 400), (512, SPACE)] },
    Setup { quantum_log2: 0, spans: &[(1, 2), (9, 40), (45, 61), (64, SPACE)] },
];

#[test]
fn inv_01_agrees_with_the_oracle_in_one_span() {
    check::<0>();
}

#[test]
fn inv_02_agrees_with_the_oracle_across_spans() {
    check::<1>();
}

#[test]
fn inv_02_agrees_with_the_oracle_at_quantum_one() {
    check::<2>();
}
