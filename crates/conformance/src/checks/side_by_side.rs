//! Laws 6 and 7: accesses wait for no slow call, and slow calls run beside each other.

use core::sync::atomic::{AtomicBool, Ordering};

use execmem_types::{Access, PageSize, Protection, SyncScope, Trap};

use super::{Check, check};
use crate::bench::{Bench, Checked, Stop, claim, part};
use crate::report::Call;
use crate::{Law, Need};

pub(super) const CHECKS: [Check; 5] = [
    check(Law::AccessesWaitForNothingSlow, "stores_do_not_wait_for_a_map", stores_do_not_wait),
    check(Law::AccessesWaitForNothingSlow, "pokes_do_not_wait_for_a_map", pokes_do_not_wait),
    check(Law::AccessesWaitForNothingSlow, "reads_do_not_wait_for_a_map", reads_do_not_wait),
    check(Law::SlowCallsRunBesideEachOther, "two_processors_map_and_unmap_at_once", two_map_at_once),
    check(Law::SlowCallsRunBesideEachOther, "memory_stays_while_other_memory_comes_and_goes", memory_stays),
];

fn stores_do_not_wait(bench: &Bench<'_>) -> Checked {
    beside_a_map(bench, Call::Store, |at| {
        let few = bench.extent(bench.small(), 0, 1);
        bench.write(Access::Store, at, &[3])?;
        let done = bench.memory.fill(Access::Store, part(few, 64, 64), Trap::ZERO).is_ok();
        claim(done, Call::FillByStore, at, "writable memory was refused")
    })
}

fn pokes_do_not_wait(bench: &Bench<'_>) -> Checked {
    if !bench.pokes {
        return Err(Stop::Needs(Need::Poke));
    }
    beside_a_map(bench, Call::Poke, |at| {
        bench.write(Access::Poke, at, &[3])?;
        let few = bench.extent(bench.small(), 0, 1);
        let done = bench.memory.fill(Access::Poke, part(few, 64, 64), Trap::ZERO).is_ok();
        claim(done, Call::FillByPoke, at, "mapped memory was refused")
    })
}

fn reads_do_not_wait(bench: &Bench<'_>) -> Checked {
    beside_a_map(bench, Call::Read, |at| claim(bench.read(at).is_some(), Call::Read, at, "mapped memory was refused"))
}

/// Maps memory whose frames are held back, and accesses other memory meanwhile.
fn beside_a_map(bench: &Bench<'_>, call: Call, access: impl Fn(u64) -> Checked + Sync) -> Checked {
    if !bench.probe.hold_frames(false) {
        return Err(Stop::Needs(Need::Holding));
    }
    let (used, other) = (bench.extent(bench.small(), 0, 1), bench.extent(bench.small(), 2, 2));
    bench.map(used, bench.small(), Protection::ReadWrite, Trap::ZERO)?;
    let was_held = AtomicBool::new(false);
    bench.probe.hold_frames(true);
    let outcome = bench.beside(
        || bench.map(other, bench.small(), Protection::ReadWrite, Trap::ZERO),
        |has_ended| {
            while !bench.probe.is_held() && !has_ended.load(Ordering::Acquire) {
                core::hint::spin_loop();
            }
            was_held.store(bench.probe.is_held(), Ordering::Release);
            let outcome = access(used.start() + 8);
            let is_held = bench.probe.is_held();
            bench.probe.hold_frames(false);
            outcome?;
            let waited = was_held.load(Ordering::Acquire) && !is_held;
            claim(!waited, call, used.start(), "it waited until other memory was mapped")
        },
    );
    bench.probe.hold_frames(false);
    outcome?;
    bench.unmap(other)?;
    bench.unmap(used)?;
    if was_held.into_inner() { Ok(()) } else { Err(Stop::Needs(Need::Holding)) }
}

/// One life of memory: fresh, written, executable, read, gone.
fn live_once(bench: &Bench<'_>, page: PageSize, index: u64, byte: u8) -> Checked {
    let extent = bench.extent(page, index, 2);
    bench.map(extent, page, Protection::ReadWrite, Trap::byte(byte))?;
    let at = extent.last() - 7;
    bench.holds(part(extent, 0, 64), Trap::byte(byte), Call::Map, "memory of another call was changed")?;
    bench.write(Access::Store, at, &[byte ^ 0xff; 8])?;
    bench.protect(extent, Protection::ReadExecute)?;
    bench.sync(extent, SyncScope::Fresh)?;
    for place in bench.places(extent) {
        let expected = if place >= at { byte ^ 0xff } else { byte };
        claim(bench.read(place) == Some(expected), Call::Protect, place, "memory of another call was changed")?;
    }
    let stored = bench.memory.write(Access::Store, at, &[1]).is_ok();
    claim(!stored, Call::Protect, at, "rights of another call were changed")?;
    bench.unmap(extent)?;
    claim(bench.read(at).is_none(), Call::Unmap, at, "it is still mapped")
}

fn two_map_at_once(bench: &Bench<'_>) -> Checked {
    for page in bench.pages() {
        let rounds = if page == bench.small() { 200 } else { 8 };
        // Tables that are kept are there from here on.
        live_once(bench, page, 0, 0x33)?;
        live_once(bench, page, 2, 0x33)?;
        let frames = bench.probe.frames();
        bench.beside(
            || (0..rounds).try_for_each(|_| live_once(bench, page, 0, 0x11)),
            |_| (0..rounds).try_for_each(|_| live_once(bench, page, 2, 0x22)),
        )?;
        let same = bench.probe.frames() == frames;
        claim(same, Call::Unmap, bench.extent(page, 0, 1).start(), "frames were lost")?;
    }
    Ok(())
}

fn memory_stays(bench: &Bench<'_>) -> Checked {
    let used = bench.extent(bench.small(), 0, 1);
    bench.map(used, bench.small(), Protection::ReadWrite, Trap::byte(0x44))?;
    bench.beside(
        || (0..100).try_for_each(|_| live_once(bench, bench.small(), 1, 0x55)),
        |has_ended| {
            while !has_ended.load(Ordering::Acquire) {
                for place in bench.places(used) {
                    claim(bench.load(place) == Some(0x44), Call::Map, place, "memory went or changed meanwhile")?;
                }
                bench.write(Access::Store, used.start() + 1, &[0x44])?;
            }
            Ok(())
        },
    )?;
    bench.unmap(used)
}
