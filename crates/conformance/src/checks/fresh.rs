//! Law 3: memory holds its pattern before it can be accessed.

use core::sync::atomic::{AtomicU32, Ordering};

use execmem_types::{Access, Protection, Trap};

use super::{Check, check};
use crate::Law::FreshMemoryHoldsThePattern as LAW;
use crate::bench::{Bench, Checked, claim};
use crate::port::Attempt;
use crate::report::Call;

pub(super) const CHECKS: [Check; 4] = [
    check(LAW, "fresh_memory_holds_the_pattern", holds_the_pattern),
    check(LAW, "memory_that_was_used_is_fresh_again", is_fresh_again),
    check(LAW, "fresh_text_traps", traps),
    check(LAW, "no_processor_sees_memory_before_it_holds_the_pattern", never_sees_other_bytes),
];

/// Patterns of every unit, none of whose bytes are alike, and rights.
const FRESH: [(Trap, Protection); 6] = [
    (Trap::byte(0x5a), Protection::ReadOnly),
    (Trap::half([0x11, 0x22]), Protection::ReadExecute),
    (Trap::word([1, 2, 3, 4]), Protection::ReadExecute),
    (Trap::word([4, 3, 2, 1]), Protection::ReadOnly),
    (Trap::word([5, 6, 7, 8]), Protection::ReadWrite),
    (Trap::ZERO, Protection::ReadWrite),
];

fn holds_the_pattern(bench: &Bench<'_>) -> Checked {
    for (pattern, protection) in FRESH {
        bench.each_extent(|extent, page| {
            bench.map(extent, page, protection, pattern)?;
            bench.holds(extent, pattern, Call::Map, "fresh memory does not hold its pattern")?;
            bench.unmap(extent)
        })?;
    }
    Ok(())
}

fn is_fresh_again(bench: &Bench<'_>) -> Checked {
    for round in 1..4 {
        bench.each_extent(|extent, page| {
            bench.map(extent, page, Protection::ReadWrite, Trap::ZERO)?;
            bench.holds(extent, Trap::ZERO, Call::Map, "fresh memory holds what was there before")?;
            let done = bench.memory.fill(Access::Store, extent, Trap::byte(round)).is_ok();
            claim(done, Call::FillByStore, extent.start(), "writable memory was refused")?;
            bench.unmap(extent)
        })?;
    }
    Ok(())
}

fn traps(bench: &Bench<'_>) -> Checked {
    bench.each_extent(|extent, page| {
        bench.map(extent, page, Protection::ReadExecute, bench.trap)?;
        for place in bench.places(extent) {
            let faulted = bench.probe.execute(place) == Attempt::Faulted;
            claim(faulted, Call::Map, place, "fresh text is executed and does not trap")?;
        }
        bench.unmap(extent)
    })
}

fn never_sees_other_bytes(bench: &Bench<'_>) -> Checked {
    const NOTHING: u32 = 0x100;
    let pattern = Trap::byte(0x5a);
    for round in 0..4 {
        bench.each_extent(|extent, page| {
            // Memory that is taken was used before.
            bench.map(extent, page, Protection::ReadWrite, Trap::byte(round))?;
            bench.unmap(extent)?;
            let place = extent.last();
            let first = AtomicU32::new(NOTHING);
            let look = || {
                if let (NOTHING, Some(byte)) = (first.load(Ordering::Relaxed), bench.load(place)) {
                    first.store(byte.into(), Ordering::Relaxed);
                }
            };
            bench.beside(
                || bench.map(extent, page, Protection::ReadOnly, pattern),
                |has_ended| {
                    while !has_ended.load(Ordering::Acquire) {
                        look();
                    }
                    look();
                    Ok(())
                },
            )?;
            let first = first.into_inner();
            claim(first != NOTHING, Call::Map, place, "mapped memory cannot be loaded by the second processor")?;
            claim(first == 0x5a, Call::Map, place, "other bytes could be loaded before the pattern")?;
            bench.unmap(extent)
        })?;
    }
    Ok(())
}
