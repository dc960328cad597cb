//! Readers beside a writer, in real threads: what a look-up may answer while ranges come and go.

extern crate std;

use alloc::sync::Arc;
use alloc::vec::Vec;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crate::{Arena, Found, Ledger, Request};

/// Quanta of a cell: ranges here have this length or less, and never lie across cells.
const CELL: u64 = 48;
const CELLS: u64 = 64;

/// The tag of a range in a cell, or none.
fn tag_of(cell: u64) -> u32 {
    u32::try_from(cell % 3).expect("small")
}

/// Looks everywhere until told to stop. Counts what it found.
fn look(ledger: &Ledger, is_done: &AtomicBool) -> usize {
    let mut found = 0;
    while !is_done.load(Ordering::Relaxed) {
        for at in (0..CELL * CELLS).step_by(7) {
            let Some(Found { range, tag }) = ledger.find(at) else { continue };
            let cell = at / CELL;
            assert!(range.contains(&at) && range.start / CELL == cell, "{at} in {range:?}");
            assert!([CELL, CELL - 5, 5].contains(&(range.end - range.start)), "{range:?}");
            assert!(tag == tag_of(cell), "{range:?} has the tag {tag}");
            found += 1;
        }
    }
    found
}

/// Every fourth cell is live all the time.
fn look_at_lasting(ledger: &Ledger, is_done: &AtomicBool) -> usize {
    let mut found = 0;
    while !is_done.load(Ordering::Relaxed) {
        for cell in (0..CELLS).step_by(4) {
            let range = cell * CELL..(cell + 1) * CELL;
            for at in [range.start, range.start + 31, range.end - 1] {
                assert_eq!(ledger.find(at), Some(Found { range: range.clone(), tag: tag_of(cell) }));
            }
            found += 1;
        }
    }
    found
}

/// Allocates, cuts and frees in the cells that do not last.
fn churn(arena: &mut Arena, rounds: usize) {
    let cells: Vec<u64> = (0..CELLS).filter(|cell| cell % 4 != 0).collect();
    for round in 0..rounds {
        let cell = cells[round * 7 % cells.len()];
        let (start, end) = (cell * CELL, (cell + 1) * CELL);
        arena.alloc(&Request::new(CELL).within(start..end).tagged(tag_of(cell))).expect("the cell is free");
        match round % 3 {
            0 => drop(arena.split(start, CELL - 5).expect("inside")),
            1 => drop(arena.truncate(start, CELL - 5).expect("inside")),
            _ => {}
        }
        arena.free(start).expect("live");
        if round % 3 == 0 {
            arena.free(end - 5).expect("live");
        }
    }
}

#[test]
fn look_ups_beside_a_writer_tell_what_was_there_at_some_time() {
    let mut arena = Arena::new(0).expect("memory");
    arena.add(0..CELL * CELLS).expect("span");
    for cell in (0..CELLS).step_by(4) {
        let request = Request::new(CELL).within(cell * CELL..(cell + 1) * CELL).tagged(tag_of(cell));
        arena.alloc(&request).expect("free");
    }
    let ledger = &Arc::clone(arena.ledger());
    let is_done = &AtomicBool::new(false);
    thread::scope(|scope| {
        let readers = [look as fn(&Ledger, &AtomicBool) -> usize, look_at_lasting]
            .map(|read| scope.spawn(move || read(ledger, is_done)));
        churn(&mut arena, 50_000);
        is_done.store(true, Ordering::Relaxed);
        for reader in readers {
            assert!(reader.join().expect("reader") > 0);
        }
    });
    arena.audit().expect("audit");
}
