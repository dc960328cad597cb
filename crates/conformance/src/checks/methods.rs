//! What the methods say of themselves: bytes arrive, frames come back, and what is not mapped is refused by name.

use execmem_types::{Access, BackendError, Extent, Mapping, Protection, SyncScope, Trap};

use super::rights::mixed;
use super::{Check, check};
use crate::Law::Methods as LAW;
use crate::bench::{Bench, Checked, by, claim, fill_by, part};
use crate::port::Attempt;
use crate::report::Call;

pub(super) const CHECKS: [Check; 9] = [
    check(LAW, "every_page_size_is_available", sizes_are_available),
    check(LAW, "written_bytes_are_read", bytes_are_read),
    check(LAW, "fills_are_in_phase_with_the_address", fills_are_in_phase),
    check(LAW, "stored_code_is_executed_once_it_may_be", stored_code_is_executed),
    check(LAW, "frames_come_back", frames_come_back),
    check(LAW, "what_is_not_mapped_is_refused_by_address", gaps_are_named),
    check(LAW, "addresses_of_others_are_refused", others_are_refused),
    check(LAW, "memory_without_rights_is_not_read", memory_without_rights_is_not_read),
    check(LAW, "empty_accesses_do_nothing", empty_accesses_do_nothing),
];

fn sizes_are_available(bench: &Bench<'_>) -> Checked {
    bench.each_extent(|extent, page| {
        bench.map(extent, page, Protection::ReadWrite, Trap::ZERO)?;
        bench.unmap(extent)
    })
}

fn bytes_are_read(bench: &Bench<'_>) -> Checked {
    let bytes: [u8; 100] = core::array::from_fn(|index| u8::try_from(index).unwrap_or(0) ^ 0x55);
    let round_trip = |at: u64| {
        bench.write(Access::Store, at, &bytes)?;
        let mut seen = [0; 100];
        let done = bench.memory.read(at, &mut seen).is_ok();
        claim(done && seen == bytes, Call::Read, at, "bytes are not those that were written")?;
        for (place, byte) in (at..).zip(bytes) {
            claim(bench.load(place) == Some(byte), Call::Store, place, "the processor loads other bytes")?;
        }
        let beside = (bench.read(at - 1), bench.read(at + 100));
        claim(beside == (Some(0), Some(0)), Call::Store, at, "a byte beside them changed")
    };
    bench.each_extent(|extent, page| {
        bench.map(extent, page, Protection::ReadWrite, Trap::ZERO)?;
        round_trip(extent.start() + 1)?;
        round_trip(extent.start() + extent.len() / 2 - 51)?;
        round_trip(extent.last() - 101)?;
        bench.unmap(extent)
    })?;
    let (before, behind, all) = mixed(bench, Protection::ReadWrite)?;
    let done = bench.memory.fill(Access::Store, all, Trap::ZERO).is_ok();
    claim(done, Call::FillByStore, before.start(), "writable memory was refused")?;
    round_trip(behind.start() - 51)?;
    bench.unmap(all)
}

fn fills_are_in_phase(bench: &Bench<'_>) -> Checked {
    for (pattern, access) in [
        (Trap::word([1, 2, 3, 4]), Access::Store),
        (Trap::half([8, 9]), Access::Store),
        (Trap::byte(6), Access::Store),
        (Trap::word([1, 2, 3, 4]), Access::Poke),
        (Trap::half([8, 9]), Access::Poke),
    ] {
        if access == Access::Poke && !bench.pokes {
            continue;
        }
        bench.each_extent(|extent, page| {
            bench.map(extent, page, Protection::ReadWrite, Trap::byte(0x77))?;
            for (offset, len) in [(0, 7), (9, 1), (11, 30), (extent.len() / 2 - 3, 6), (extent.len() / 2 + 5, 300)] {
                let filled = part(extent, offset, len);
                let done = bench.memory.fill(access, filled, pattern).is_ok();
                claim(done, fill_by(access), filled.start(), "writable memory was refused")?;
                bench_holds(bench, filled, pattern, fill_by(access))?;
                let after = bench.read(filled.last() + 1);
                claim(after == Some(0x77), fill_by(access), filled.last() + 1, "a byte beside it changed")?;
            }
            let done = bench.memory.fill(access, extent, pattern).is_ok();
            claim(done, fill_by(access), extent.start(), "writable memory was refused")?;
            bench.holds(extent, pattern, fill_by(access), "it does not hold the pattern")?;
            bench.unmap(extent)
        })?;
    }
    Ok(())
}

/// The same as `holds` for a few bytes, each of which is looked at.
fn bench_holds(bench: &Bench<'_>, extent: Extent, pattern: Trap, call: Call) -> Checked {
    for place in extent.start()..=extent.last() {
        claim(bench.read(place) == Some(pattern.at(place)), call, place, "it is out of phase with the address")?;
    }
    Ok(())
}

fn stored_code_is_executed(bench: &Bench<'_>) -> Checked {
    bench.each_extent(|extent, page| {
        bench.map(extent, page, Protection::ReadWrite, bench.trap)?;
        for place in bench.places(extent) {
            bench.write(Access::Store, place, bench.returns.bytes())?;
        }
        bench.protect(extent, Protection::ReadExecute)?;
        bench.sync(extent, SyncScope::Fresh)?;
        for place in bench.places(extent) {
            let done = bench.probe.execute(place) == Attempt::Done;
            claim(done, Call::SyncCode, place, "code is not executed")?;
        }
        bench.unmap(extent)
    })
}

fn frames_come_back(bench: &Bench<'_>) -> Checked {
    bench.frames()?;
    bench.each_extent(|extent, page| {
        let mut before = None;
        for _ in 0..4 {
            bench.map(extent, page, Protection::ReadWrite, Trap::ZERO)?;
            bench.protect(extent, Protection::ReadExecute)?;
            let len = part(extent, bench.small().bytes(), bench.small().bytes());
            let _ = bench.memory.protect(len, Protection::ReadOnly);
            let leaf = if extent.len() < 3 * page.bytes() { bench.small() } else { page };
            bench.unmap(part(extent, 0, leaf.bytes()))?;
            bench.unmap(part(extent, leaf.bytes(), extent.len() - leaf.bytes()))?;
            let frames = bench.frames()?;
            let same = before.is_none_or(|before| before == frames);
            claim(same, Call::Unmap, extent.start(), "frames do not come back")?;
            before = Some(frames);
        }
        Ok(())
    })
}

fn gaps_are_named(bench: &Bench<'_>) -> Checked {
    for page in bench.pages() {
        let (mapped, gap) = (bench.extent(page, 0, 1), bench.extent(page, 1, 1));
        bench.map(mapped, page, Protection::ReadWrite, Trap::ZERO)?;
        let absent = Err(BackendError::NotMapped { address: gap.start() });
        let at = gap.start() - 2;
        claim(bench.memory.read(at, &mut [0; 4]) == absent, Call::Read, at, "the first address of a gap is not named")?;
        let written = bench.memory.write(Access::Store, at, &[1; 4]);
        claim(written == absent, Call::Store, at, "the first address of a gap is not named")?;
        let unmapped = bench.memory.unmap(gap);
        claim(unmapped == absent, Call::Unmap, gap.start(), "the first address of a gap is not named")?;
        let changed = bench.memory.protect(gap, Protection::ReadOnly);
        claim(changed == absent, Call::Protect, gap.start(), "the first address of a gap is not named")?;
        let again = bench.memory.map(&Mapping::new(mapped, page, Protection::ReadWrite, Trap::ZERO));
        let refused = Err(BackendError::AlreadyMapped { extent: mapped });
        claim(again == refused, Call::Map, mapped.start(), "it is not refused as AlreadyMapped")?;
        bench.unmap(mapped)?;
    }
    Ok(())
}

fn others_are_refused(bench: &Bench<'_>) -> Checked {
    let small = bench.small();
    let first = bench.extent(small, 0, 1);
    bench.map(first, small, Protection::ReadWrite, Trap::ZERO)?;
    let top = u64::MAX - (small.bytes() - 1);
    for address in [0, small.bytes(), first.last() + 1, top, u64::MAX - 3] {
        for access in [Access::Store, Access::Poke] {
            let refused = bench.memory.write(access, address, &[0; 4]).is_err();
            claim(refused, by(access), address, "memory of others was written")?;
            let few = Extent::new(address, 4).unwrap_or(first);
            let refused = bench.memory.fill(access, few, Trap::ZERO).is_err();
            claim(refused, fill_by(access), address, "memory of others was filled")?;
        }
        claim(bench.memory.read(address, &mut [0; 4]).is_err(), Call::Read, address, "memory of others was read")?;
        let Some(page) = Extent::new(small.round_down(address), small.bytes()) else { continue };
        let refused = bench.memory.protect(page, Protection::ReadWrite).is_err();
        claim(refused, Call::Protect, page.start(), "memory of others was changed")?;
        claim(bench.memory.unmap(page).is_err(), Call::Unmap, page.start(), "memory of others was unmapped")?;
    }
    bench.unmap(first)
}

fn memory_without_rights_is_not_read(bench: &Bench<'_>) -> Checked {
    bench.each_extent(|extent, page| {
        bench.map(extent, page, Protection::NoAccess, Trap::ZERO)?;
        for place in bench.places(extent) {
            claim(bench.read(place).is_none(), Call::Read, place, "memory without rights was read")?;
            let refused = bench.memory.write(Access::Store, place, &[1]).is_err();
            claim(refused, Call::Store, place, "memory without rights was written")?;
        }
        bench.unmap(extent)
    })
}

fn empty_accesses_do_nothing(bench: &Bench<'_>) -> Checked {
    for address in [0, bench.extent(bench.small(), 0, 1).start(), u64::MAX] {
        claim(bench.memory.read(address, &mut []).is_ok(), Call::Read, address, "no bytes were refused")?;
        claim(bench.memory.write(Access::Store, address, &[]).is_ok(), Call::Store, address, "no bytes were refused")?;
    }
    Ok(())
}
