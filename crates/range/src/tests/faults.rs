//! Memory refused at every point: nothing changes, and freeing still works.

use alloc::vec::Vec;

use super::naive::Naive;
use super::ops::Op;
use super::{SETUPS, Setup};
use crate::memory::fault;
use crate::{Arena, Error, Request};

/// Everything that can be seen of an arena.
fn picture(arena: &Arena) -> impl PartialEq + core::fmt::Debug + use<> {
    let ranges: Vec<_> = arena.ranges().collect();
    let totals = arena.audit().expect("audit");
    (ranges, totals.live_ranges, totals.holes, totals.free_len)
}

/// Runs `operation` with memory refused after 0, 1, 2… requests until it no longer runs out.
fn refuse_everywhere(arena: &mut Arena, mut operation: impl FnMut(&mut Arena) -> Result<(), Error>) {
    for granted in 0.. {
        arena.settle();
        let before = picture(arena);
        fault::refuse_after(granted);
        let outcome = operation(arena);
        fault::stop();
        match outcome {
            Err(Error::OutOfMemory) => assert_eq!(picture(arena), before),
            _ => return,
        }
    }
}

#[test]
fn inv_09_refused_memory_changes_nothing() {
    for setup in SETUPS {
        let mut arena = setup.arena();
        let unit = arena.quantum();
        for k in 0..40 {
            refuse_everywhere(&mut arena, |arena| arena.alloc(&Request::new((k % 9 + 1) * unit)).map(drop));
        }
        let starts: Vec<_> = arena.live().map(|range| range.start).collect();
        for start in starts.iter().step_by(3) {
            refuse_everywhere(&mut arena, |arena| arena.split(*start, unit).map(drop));
            refuse_everywhere(&mut arena, |arena| arena.truncate(*start, unit).map(drop));
        }
        refuse_everywhere(&mut arena, |arena| arena.add(1500 * unit..1501 * unit));
        refuse_everywhere(&mut arena, |arena| arena.remove(1500 * unit..1501 * unit));
        refuse_everywhere(&mut arena, |arena| arena.alloc_at(900 * unit..905 * unit));
    }
}

/// Frees everything in an order given by `stride`, without memory.
fn frees_without_memory(setup: &Setup, stride: usize) {
    let mut arena = setup.arena();
    let mut naive = setup.naive();
    let mut held = Vec::new();
    while arena.alloc(&Request::new(arena.quantum())).is_ok() {}
    held.extend(arena.live());
    held.iter().for_each(|range| naive.take(range));
    fault::refuse_after(0);
    while !held.is_empty() {
        let pick = u16::try_from(stride % held.len()).expect("small");
        Op::Free { pick }.run(&mut arena, &mut naive, &mut held).expect("free");
    }
    fault::stop();
    arena.settle();
    let totals = arena.audit().expect("audit");
    assert_eq!((totals.live_ranges, totals.holes), (0, arena.spans().count()));
    assert_eq!(totals.free_len, Naive::free_len(&naive));
}

#[test]
fn inv_09_free_never_needs_memory() {
    for setup in SETUPS {
        for stride in [0, 1, 2, 7, 500] {
            frees_without_memory(&setup, stride);
        }
    }
}
