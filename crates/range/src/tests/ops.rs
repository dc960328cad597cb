//! Operations for the property tests, each run on the arena and on the oracle.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::ops::Range;

use quickcheck::{Arbitrary, Gen};

use super::naive::Naive;
use crate::{Arena, Error, Fit, Request};

/// Quanta in the spaces under test.
pub(super) const SPACE: u64 = 1024;

/// One operation. Numbers are in quanta; those of frees and cuts pick among what is held.
#[derive(Debug, Clone)]
pub(super) enum Op {
    Alloc { quanta: u16, align_log2: u8, fit: u8, window: Option<(u16, u16)>, tag: u32 },
    AllocAt { start: u16, quanta: u16 },
    Free { pick: u16 },
    FreeWrong { at: u16 },
    Truncate { pick: u16, quanta: u16 },
    Split { pick: u16, quanta: u16 },
    Find { at: u16 },
    Add { start: u16, quanta: u16 },
    Remove { start: u16, quanta: u16 },
    Settle,
    Avoid { start: u16, quanta: u16 },
}

fn size(g: &mut Gen) -> u16 {
    let large = u8::arbitrary(g) % 8 == 0;
    u16::arbitrary(g) % if large { 300 } else { 12 } + 1
}

impl Arbitrary for Op {
    fn arbitrary(g: &mut Gen) -> Self {
        let mut number = || u16::arbitrary(g) % 1024;
        let (pick, at) = (number(), number());
        match u8::arbitrary(g) % 16 {
            0..=5 => Op::Alloc {
                quanta: size(g),
                align_log2: u8::arbitrary(g) % 8,
                fit: u8::arbitrary(g) % 5,
                window: bool::arbitrary(g).then_some((pick, at)).filter(|_| u8::arbitrary(g) % 2 == 0),
                tag: u32::from(u8::arbitrary(g) % 4 == 0) * u32::from(pick),
            },
            6 => Op::AllocAt { start: at, quanta: size(g) },
            7..=10 => Op::Free { pick },
            11 => {
                let avoid = Op::Avoid { start: at, quanta: pick % 256 };
                [Op::FreeWrong { at }, Op::Find { at }, Op::Settle, avoid][usize::from(pick) % 4].clone()
            }
            12 => Op::Truncate { pick, quanta: size(g) },
            13 => Op::Split { pick, quanta: size(g) },
            14 => Op::Add { start: at, quanta: size(g) },
            _ => Op::Remove { start: at, quanta: size(g) },
        }
    }

    fn shrink(&self) -> Box<dyn Iterator<Item = Self>> {
        match self.clone() {
            Op::Alloc { quanta, align_log2, fit, window, tag } => {
                let smaller = (quanta, align_log2).shrink().filter(|(quanta, _)| *quanta > 0);
                let smaller =
                    smaller.map(move |(quanta, align_log2)| Op::Alloc { quanta, align_log2, fit, window, tag });
                let open = window.map(|_| Op::Alloc { quanta, align_log2, fit, window: None, tag });
                Box::new(open.into_iter().chain(smaller))
            }
            _ => quickcheck::empty_shrinker(),
        }
    }
}

type Outcome = Result<(), String>;

fn expect(holds: bool, what: &str) -> Outcome {
    if holds { Ok(()) } else { Err(what.into()) }
}

impl Op {
    /// Runs the operation on both and compares. `held` are the live ranges.
    pub(super) fn run(&self, arena: &mut Arena, naive: &mut Naive, held: &mut Vec<Range<u64>>) -> Outcome {
        let unit = arena.quantum();
        let scaled = |start: u16, quanta: u16| u64::from(start) * unit..(u64::from(start) + u64::from(quanta)) * unit;
        match *self {
            Op::Alloc { quanta, align_log2, fit, window, tag } => {
                let fit = [Fit::Tightest, Fit::Tightest, Fit::Tightest, Fit::Lowest, Fit::Highest][usize::from(fit)];
                let mut request =
                    Request::new(u64::from(quanta) * unit).aligned(unit << align_log2).placed(fit).tagged(tag);
                request.within = window.map(|(a, b)| scaled(a.min(b), a.abs_diff(b) + 1));
                alloc(arena, naive, held, &request)
            }
            Op::AllocAt { start, quanta } => {
                let range = scaled(start, quanta);
                let free = naive.is_free(&range);
                expect(arena.alloc_at(range.clone()).is_ok() == free, "alloc_at differs")?;
                if free {
                    naive.take(&range);
                    held.push(range);
                }
                Ok(())
            }
            Op::Free { pick } | Op::Truncate { pick, .. } | Op::Split { pick, .. } if !held.is_empty() => {
                self.run_on_held(arena, naive, held, usize::from(pick) % held.len())
            }
            Op::FreeWrong { at } => {
                let at = u64::from(at) * unit;
                let wrong = held.iter().all(|range| range.start != at);
                expect(!wrong || arena.free(at) == Err(Error::NotLive { at }), "freed what is not live")
            }
            Op::Find { at } => {
                let at = u64::from(at) * unit + unit / 2;
                expect(arena.find(at) == naive.find(at), "find differs")
            }
            Op::Add { start, quanta } => {
                let span = scaled(start, quanta);
                expect(arena.add(span.clone()).is_ok() == naive.add(span), "add differs")
            }
            Op::Remove { start, quanta } => {
                let span = scaled(start, quanta);
                expect(arena.remove(span.clone()).is_ok() == naive.remove(span), "remove differs")
            }
            Op::Settle => {
                arena.settle();
                expect(arena.audit().is_ok_and(|totals| totals.ready_ranges == 0), "something stayed ready")
            }
            Op::Avoid { start, quanta } => {
                let space = (quanta > 0).then(|| scaled(start, quanta));
                expect(arena.avoid(space).is_ok(), "avoid was refused")
            }
            Op::Free { .. } | Op::Truncate { .. } | Op::Split { .. } => Ok(()),
        }
    }

    /// The operations on one of the live ranges.
    fn run_on_held(&self, arena: &mut Arena, naive: &mut Naive, held: &mut Vec<Range<u64>>, index: usize) -> Outcome {
        let (unit, range) = (arena.quantum(), held[index].clone());
        match *self {
            Op::Truncate { quanta, .. } => {
                let keep = u64::from(quanta) * unit;
                let shorter = keep < range.end - range.start;
                expect(arena.truncate(range.start, keep).is_ok() == shorter, "truncate differs")?;
                if shorter {
                    naive.free(&(range.start + keep..range.end));
                    held[index].end = range.start + keep;
                }
                Ok(())
            }
            Op::Split { quanta, .. } => {
                let keep = u64::from(quanta) * unit;
                let inside = keep < range.end - range.start;
                expect(arena.split(range.start, keep).is_ok() == inside, "split differs")?;
                if inside {
                    naive.cut(range.start + keep);
                    held[index].end = range.start + keep;
                    held.push(range.start + keep..range.end);
                }
                Ok(())
            }
            _ => {
                held.swap_remove(index);
                let freed = arena.free(range.start).map_err(|error| alloc::format!("{error}"))?;
                naive.free(&range);
                expect(freed.range == range && naive.is_free(&freed.hole), "freed something else")?;
                expect(arena.free(range.start) == Err(Error::NotLive { at: range.start }), "freed twice")
            }
        }
    }
}

fn alloc(arena: &mut Arena, naive: &mut Naive, held: &mut Vec<Range<u64>>, request: &Request) -> Outcome {
    let places = naive.places(request);
    let got = match arena.alloc(request) {
        Ok(range) => range,
        Err(Error::Exhausted { .. }) if places.is_empty() => return Ok(()),
        Err(error) => return Err(alloc::format!("{error}; {places:x?} would serve")),
    };
    expect(places.contains(&got), "a place that does not serve")?;
    if request.fit != Fit::Tightest || request.within.is_some() {
        // A settled ready range may open a better place, but never closes one.
        let wanted = naive.place(request);
        let audit = arena.audit().map_err(|broken| alloc::format!("{broken}"))?;
        expect(wanted.as_ref() == Some(&got) || audit.ready_ranges > 0, "not the lowest or highest place")?;
    }
    let found = arena.ledger().find(got.end - 1).filter(|found| found.range == got && found.tag == request.tag);
    expect(found.is_some(), "the ledger tells something else")?;
    naive.take(&got);
    held.push(got);
    Ok(())
}
