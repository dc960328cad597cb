//! Memory refused at every point: nothing changes, and freeing still works.

use alloc::vec::Vec;
use core::ops::Range;

use super::alone::Alone;
use super::{SETUPS, Setup, live, refusals};
use crate::{Error, State};

/// Everything that can be seen of an arena.
fn picture(arena: &Alone) -> Vec<(Range<u64>, State)> {
    arena.audit().expect("audit");
    arena.ranges().collect()
}

/// Runs `operation` with memory refused after 0, 1, 2… requests until it no longer runs out. Returns how often it did.
fn refuse_everywhere(arena: &mut Alone, mut operation: impl FnMut(&mut Alone) -> Result<(), Error>) -> usize {
    for granted in 0.. {
        let before = picture(arena);
        refusals::refuse_after(granted);
        let outcome = operation(arena);
        refusals::stop();
        match outcome {
            Err(Error::OutOfMemory) => assert_eq!(picture(arena), before),
            _ => return granted,
        }
    }
    0
}

#[test]
fn inv_09_refused_memory_changes_nothing() {
    for setup in SETUPS {
        let mut arena = setup.arena();
        let unit = arena.quantum();
        let mut refusals = 0;
        for k in 0..40 {
            refusals += refuse_everywhere(&mut arena, |arena| {
                arena.try_alloc((k % 9 + 1) * unit, unit << (k % 5), u32::from(k % 7 == 0)).map(drop)
            });
        }
        let starts: Vec<_> = live(&arena).iter().map(|range| range.start).collect();
        for start in starts.iter().step_by(3) {
            refusals += refuse_everywhere(&mut arena, |arena| arena.split(*start, unit).map(drop));
        }
        refusals += refuse_everywhere(&mut arena, |arena| arena.prepare_and_drain(Some(unit..200 * unit)));
        refusals += refuse_everywhere(&mut arena, |arena| arena.add(1500 * unit..1501 * unit));
        refusals += refuse_everywhere(&mut arena, |arena| arena.remove(1500 * unit..1501 * unit));
        assert!(refusals > 10, "only {refusals} requests for memory were refused");
    }
}

/// Frees everything in an order given by `stride`, without memory.
fn frees_without_memory(setup: &Setup, stride: usize) {
    let mut arena = setup.arena();
    let managed = arena.free_len();
    while arena.try_alloc(arena.quantum(), 1, 0).expect("memory").is_some() {}
    let mut starts: Vec<_> = live(&arena).iter().map(|range| range.start).collect();
    refusals::refuse_after(0);
    while !starts.is_empty() {
        let start = starts.swap_remove(stride % starts.len());
        let is_withheld = !(start / arena.quantum() + stride as u64).is_multiple_of(3);
        if is_withheld { arena.free_withheld(start) } else { arena.free(start) }.expect("live");
    }
    super::release_all(&mut arena);
    arena.trim();
    refusals::stop();
    arena.audit().expect("audit");
    assert!(live(&arena).is_empty());
    assert_eq!((arena.hole_count(), arena.free_len()), (arena.spans().count(), managed));
}

#[test]
fn inv_09_free_never_needs_memory() {
    for setup in SETUPS {
        for stride in [0, 1, 2, 3, 7, 500] {
            frees_without_memory(&setup, stride);
        }
    }
}

#[test]
fn inv_09_what_was_added_is_removed_without_memory() {
    for setup in SETUPS {
        let mut arena = setup.arena();
        let unit = arena.quantum();
        for at in (1030..1500).step_by(7) {
            let span = at * unit..(at + at % 8) * unit;
            if span.is_empty() || arena.add(span.clone()).is_err() {
                continue;
            }
            refusals::refuse_after(0);
            arena.remove(span.clone()).expect("it is free");
            refusals::stop();
            arena.add(span).expect("memory");
            arena.try_alloc(at % 5 * unit + unit, 1, 0).expect("memory");
        }
        arena.audit().expect("audit");
    }
}
