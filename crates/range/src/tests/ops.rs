//! Operations for the property tests, each run on the arena and on the oracle.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::ops::Range;

use quickcheck::{Arbitrary, Gen};

use super::alone::Alone;
use super::naive::Naive;
use crate::{Error, Freed};

/// Quanta in the spaces under test.
pub(super) const SPACE: u64 = 1024;

/// One operation. Numbers are in quanta; those of frees and cuts pick among what is held.
#[derive(Debug, Clone)]
pub(super) enum Op {
    Alloc { quanta: u16, align_log2: u8, tag: u32 },
    Free { pick: u16 },
    FreeWithheld { pick: u16 },
    FreeWrong { at: u16 },
    Release,
    ReleaseWrong { at: u16 },
    Split { pick: u16, quanta: u16 },
    Find { at: u16 },
    Add { start: u16, quanta: u16 },
    Remove { start: u16, quanta: u16 },
    Drain { start: u16, quanta: u16 },
    Trim,
}

fn size(g: &mut Gen) -> u16 {
    let large = u8::arbitrary(g) % 8 == 0;
    u16::arbitrary(g) % if large { 300 } else { 12 } + 1
}

impl Arbitrary for Op {
    fn arbitrary(g: &mut Gen) -> Self {
        let mut number = || u16::arbitrary(g) % 1024;
        let (pick, at) = (number(), number());
        match u8::arbitrary(g) % 32 {
            0..=12 => Op::Alloc {
                quanta: size(g),
                align_log2: u8::arbitrary(g) % if bool::arbitrary(g) { 8 } else { 1 },
                tag: u32::from(u8::arbitrary(g) % 4 == 0) * u32::from(pick),
            },
            13..=19 => Op::Free { pick },
            20 => Op::FreeWithheld { pick },
            21 => Op::FreeWrong { at },
            22 => Op::Release,
            23 => Op::ReleaseWrong { at },
            24 | 25 => Op::Split { pick, quanta: size(g) },
            26 => Op::Find { at },
            27 | 28 => Op::Add { start: at, quanta: size(g) },
            29 => Op::Remove { start: at, quanta: size(g) },
            30 => Op::Drain { start: at, quanta: pick % 256 },
            _ => Op::Trim,
        }
    }

    fn shrink(&self) -> Box<dyn Iterator<Item = Self>> {
        match *self {
            Op::Alloc { quanta, align_log2, tag } => {
                let smaller = (quanta, align_log2, tag).shrink().filter(|(quanta, ..)| *quanta > 0);
                Box::new(smaller.map(|(quanta, align_log2, tag)| Op::Alloc { quanta, align_log2, tag }))
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
    pub(super) fn run(&self, arena: &mut Alone, naive: &mut Naive, held: &mut Vec<Range<u64>>) -> Outcome {
        let unit = arena.quantum();
        let scaled = |start: u16, quanta: u16| u64::from(start) * unit..(u64::from(start) + u64::from(quanta)) * unit;
        match *self {
            Op::Alloc { quanta, align_log2, tag } => {
                alloc(arena, naive, held, u64::from(quanta) * unit, unit << align_log2, tag)
            }
            Op::Free { pick } | Op::FreeWithheld { pick } | Op::Split { pick, .. } if !held.is_empty() => {
                self.run_on_held(arena, naive, held, usize::from(pick) % held.len())
            }
            Op::Free { .. } | Op::FreeWithheld { .. } | Op::Split { .. } => Ok(()),
            Op::FreeWrong { at } => {
                let at = u64::from(at) * unit;
                let is_wrong = held.iter().all(|range| range.start != at);
                expect(!is_wrong || arena.free(at) == Err(Error::NotLive(at)), "freed what is not live")
            }
            Op::Release => {
                let withheld = arena.withheld().next();
                let Some(hole) = withheld else { return Ok(()) };
                let len = naive.release(hole.start);
                expect(len >= Some(hole.end - hole.start), "a hole that is not withheld")?;
                expect(arena.release(hole.start).ok() == len, "release differs")
            }
            Op::ReleaseWrong { at } => {
                let at = u64::from(at) * unit;
                expect(arena.release(at).ok() == naive.release(at), "release differs")
            }
            Op::Find { at } => {
                let at = u64::from(at) * unit + unit / 2;
                expect(arena.map().find(at).map(|found| found.range) == naive.find(at), "find differs")
            }
            Op::Add { start, quanta } => {
                let span = scaled(start, quanta);
                expect(arena.add(span.clone()).is_ok() == naive.add(span), "add differs")
            }
            Op::Remove { start, quanta } => {
                let span = scaled(start, quanta);
                let hole = arena.hole_at(span.start);
                let is_free = hole.is_some_and(|hole| span.end <= hole.end);
                expect(is_free == naive.is_free(&span), "hole_at differs")?;
                expect(arena.remove(span.clone()).is_ok() == naive.remove(span), "remove differs")
            }
            Op::Drain { start, quanta } => {
                let space = (quanta > 0).then(|| scaled(start, quanta));
                expect(arena.prepare_and_drain(space).is_ok(), "drain was refused")
            }
            Op::Trim => {
                arena.trim();
                Ok(())
            }
        }
    }

    /// The operations on one of the live ranges.
    fn run_on_held(&self, arena: &mut Alone, naive: &mut Naive, held: &mut Vec<Range<u64>>, index: usize) -> Outcome {
        let (unit, range) = (arena.quantum(), held[index].clone());
        let is_withheld = match *self {
            Op::Split { quanta, .. } => {
                let keep = u64::from(quanta) * unit;
                let is_inside = keep < range.end - range.start;
                let cut = is_inside.then_some(range.start + keep);
                let tag = arena.map().find(range.start).map(|found| found.tag);
                expect(arena.split(range.start, keep).ok() == cut.map(|cut| cut..range.end), "split differs")?;
                let Some(cut) = cut else { return Ok(()) };
                expect(arena.map().find(cut).map(|found| found.tag) == tag, "the second part has another tag")?;
                naive.cut(cut);
                held[index].end = cut;
                held.push(cut..range.end);
                return Ok(());
            }
            Op::FreeWithheld { .. } => true,
            _ => false,
        };
        held.swap_remove(index);
        let free = if is_withheld { Alone::free_withheld } else { Alone::free };
        let freed = free(arena, range.start).map_err(|error| alloc::format!("{error}"))?;
        let hole_len = naive.free(&range, is_withheld);
        expect(freed == Freed { len: range.end - range.start, hole_len }, "freed something else")?;
        expect(free(arena, range.start) == Err(Error::NotLive(range.start)), "freed twice")
    }
}

fn alloc(arena: &mut Alone, naive: &mut Naive, held: &mut Vec<Range<u64>>, len: u64, align: u64, tag: u32) -> Outcome {
    let tight = (arena.tightest_hole(len), naive.tightest(len));
    expect(
        tight.0.is_some() == tight.1.is_some() && tight.0 >= tight.1,
        "not the length of a hole that is long enough",
    )?;
    let got = arena.try_alloc(len, align, tag).map_err(|error| alloc::format!("{error}"))?;
    let Some(start) = got else { return expect(!naive.has_place(len, align), "there is a place that would serve") };
    let got = start..start + len;
    expect(start % align == 0 && naive.is_free(&got), "a place that does not serve")?;
    let found = arena.map().find(got.end - 1).filter(|found| found.range == got && found.tag == tag);
    expect(found.is_some(), "the live map tells something else")?;
    naive.take(&got);
    held.push(got);
    Ok(())
}
