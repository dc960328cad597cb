//! Readers beside a writer, in real threads: what a look-up may answer while ranges come and go.

extern crate std;

use alloc::sync::Arc;
use alloc::vec::Vec;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use super::alone::Alone;
use crate::{Found, LiveMap};

/// Quanta of a cell: ranges here have this length or less, and never lie across cells.
const CELL: u64 = 48;
const CELLS: u64 = 64;

/// Where cells are cut: within a word, in another word, and so that the first part needs an entry.
const CUTS: [u64; 3] = [5, CELL - 5, 1];

/// The tag of a range in a cell.
fn tag_of(cell: u64) -> u32 {
    u32::try_from(cell % 3).expect("small")
}

/// Looks everywhere until told to stop. Counts what it found.
fn look(map: &LiveMap, is_done: &AtomicBool) -> usize {
    let mut found = 0;
    while !is_done.load(Ordering::Relaxed) {
        for at in (0..CELL * CELLS).step_by(7) {
            let Some(Found { range, tag }) = map.find(at) else { continue };
            let cell = at / CELL;
            assert!(range.contains(&at) && range.start / CELL == cell, "{at} in {range:?}");
            let len = range.end - range.start;
            assert!(len == CELL || CUTS.iter().any(|cut| len == *cut || len == CELL - cut), "{range:?}");
            assert!(tag == tag_of(cell), "{range:?} has the tag {tag}");
            found += 1;
        }
    }
    found
}

/// Every fourth cell is live all the time.
fn look_at_lasting(map: &LiveMap, is_done: &AtomicBool) -> usize {
    let mut found = 0;
    while !is_done.load(Ordering::Relaxed) {
        for cell in (0..CELLS).step_by(4) {
            let range = cell * CELL..(cell + 1) * CELL;
            for at in [range.start, range.start + 31, range.end - 1] {
                assert_eq!(map.find(at), Some(Found { range: range.clone(), tag: tag_of(cell) }));
            }
            found += 1;
        }
    }
    found
}

/// The only free place is a cell, or a part of one: allocates it.
fn take(arena: &mut Alone, start: u64, len: u64) {
    assert_eq!(arena.try_alloc(len, 1, tag_of(start / CELL)), Ok(Some(start)));
}

/// Frees, allocates and cuts in the cells that do not last.
fn churn(arena: &mut Alone, rounds: usize) {
    let cells: Vec<u64> = (0..CELLS).filter(|cell| cell % 4 != 0).collect();
    for round in 0..rounds {
        let start = cells[round * 7 % cells.len()] * CELL;
        arena.free(start).expect("live");
        take(arena, start, CELL);
        let rest = arena.split(start, CUTS[round % CUTS.len()]).expect("inside").start;
        if round % 2 == 0 {
            arena.free(rest).expect("live");
            take(arena, rest, start + CELL - rest);
        }
        arena.free(start).expect("live");
        arena.free(rest).expect("live");
        take(arena, start, CELL);
    }
}

#[test]
fn look_ups_beside_a_writer_tell_what_was_there_at_some_time() {
    let mut arena = Alone::new(0).expect("memory");
    arena.add(0..CELL * CELLS).expect("span");
    (0..CELLS).for_each(|cell| take(&mut arena, cell * CELL, CELL));
    let map = &Arc::clone(arena.map());
    let is_done = &AtomicBool::new(false);
    thread::scope(|scope| {
        let readers = [look as fn(&LiveMap, &AtomicBool) -> usize, look_at_lasting]
            .map(|read| scope.spawn(move || read(map, is_done)));
        churn(&mut arena, 50_000);
        is_done.store(true, Ordering::Relaxed);
        for reader in readers {
            assert!(reader.join().expect("reader") > 0);
        }
    });
    arena.audit().expect("audit");
}
