//! Law 1: a call that fails changes nothing.

use execmem_types::{Access, Extent, Mapping, Protection, Rights, Trap};

use super::{Check, check};
use crate::Law::FailedCallsChangeNothing as LAW;
use crate::Need;
use crate::bench::{ALL_RIGHTS, Bench, Checked, Stop, by, claim, fill_by, joined, part};
use crate::report::Call;

pub(super) const CHECKS: [Check; 9] = [
    check(LAW, "memory_is_not_mapped_over", is_not_mapped_over),
    check(LAW, "a_map_that_fails_half_way_leaves_nothing", half_a_map_leaves_nothing),
    check(LAW, "a_change_of_rights_that_fails_half_way_changes_nothing", half_a_change_changes_nothing),
    check(LAW, "rights_do_not_change_up_to_a_gap", rights_stop_at_gaps),
    check(LAW, "memory_does_not_go_up_to_a_gap", memory_stops_at_gaps),
    check(LAW, "bytes_do_not_change_up_to_a_gap", bytes_stop_at_gaps),
    check(LAW, "bytes_do_not_change_up_to_memory_that_forbids_it", bytes_stop_at_rights),
    check(LAW, "parts_of_leaves_go_alone_or_not_at_all", parts_go_alone),
    check(LAW, "parts_of_pages_are_refused", parts_of_pages_are_refused),
];

/// More frames than mapping a few leaves takes.
const MANY_FRAMES: u64 = 64;

/// A pattern that no call below writes.
const KEPT: Trap = Trap::byte(0x5a);

fn is_refused(is_err: bool, call: Call, extent: Extent) -> Checked {
    claim(is_err, call, extent.start(), "it is not refused")
}

fn nothing_is_at(bench: &Bench<'_>, extent: Extent, call: Call) -> Checked {
    bench.rights(extent, Protection::NoAccess, call)?;
    for place in bench.places(extent) {
        claim(bench.read(place).is_none(), call, place, "memory was left behind")?;
    }
    Ok(())
}

fn is_not_mapped_over(bench: &Bench<'_>) -> Checked {
    for page in bench.pages() {
        let mapped = bench.extent(page, 1, 2);
        bench.map(mapped, page, Protection::ReadWrite, bench.returns)?;
        let frames = bench.probe.frames();
        for (index, count) in [(1, 2), (2, 1), (0, 2), (2, 2), (0, 4)] {
            let extent = bench.extent(page, index, count);
            let again = Mapping::new(extent, page, Protection::ReadExecute, Trap::ZERO);
            is_refused(bench.memory.map(&again).is_err(), Call::Map, extent)?;
            bench.holds(mapped, bench.returns, Call::Map, "a map that was refused changed memory")?;
            bench.rights(mapped, Protection::ReadWrite, Call::Map)?;
            nothing_is_at(bench, bench.extent(page, 0, 1), Call::Map)?;
            nothing_is_at(bench, bench.extent(page, 3, 1), Call::Map)?;
            claim(bench.probe.frames() == frames, Call::Map, extent.start(), "a map that was refused kept frames")?;
        }
        bench.unmap(mapped)?;
    }
    Ok(())
}

fn half_a_map_leaves_nothing(bench: &Bench<'_>) -> Checked {
    if !bench.probe.refuse_frame(None) {
        return Err(Stop::Needs(Need::Refusals));
    }
    bench.each_extent(|extent, page| {
        let mapping = Mapping::new(extent, page, Protection::ReadExecute, bench.returns);
        // Tables that are kept are there from here on.
        bench.map_as(&mapping)?;
        bench.unmap(extent)?;
        let frames = bench.probe.frames();
        for after in 0..MANY_FRAMES {
            bench.probe.refuse_frame(Some(after));
            let mapped = bench.memory.map(&mapping);
            bench.probe.refuse_frame(None);
            if mapped.is_ok() {
                claim(after > 0, Call::Map, extent.start(), "it takes no frames, or goes on without")?;
                bench.holds(extent, bench.returns, Call::Map, "fresh memory does not hold its pattern")?;
                return bench.unmap(extent);
            }
            nothing_is_at(bench, extent, Call::Map)?;
            claim(bench.probe.frames() == frames, Call::Map, extent.start(), "a map that failed kept frames")?;
        }
        claim(false, Call::Map, extent.start(), "it fails whatever frame is refused")
    })
}

fn half_a_change_changes_nothing(bench: &Bench<'_>) -> Checked {
    if !bench.probe.refuse_frame(None) {
        return Err(Stop::Needs(Need::Refusals));
    }
    for page in bench.pages() {
        let extent = bench.extent(page, 0, 3);
        let inner = part(extent, bench.small().bytes(), extent.len() - 2 * bench.small().bytes());
        for after in 0..MANY_FRAMES {
            bench.map(extent, page, Protection::ReadWrite, bench.returns)?;
            let frames = bench.probe.frames();
            bench.probe.refuse_frame(Some(after));
            let changed = bench.memory.protect(inner, Protection::ReadOnly);
            bench.probe.refuse_frame(None);
            if changed.is_err() {
                bench.rights(extent, Protection::ReadWrite, Call::Protect)?;
                let kept = bench.probe.frames() == frames;
                claim(kept, Call::Protect, inner.start(), "a change that failed kept frames")?;
            }
            bench.unmap(extent)?;
            if changed.is_ok() {
                break;
            }
        }
    }
    Ok(())
}

fn rights_stop_at_gaps(bench: &Bench<'_>) -> Checked {
    for page in bench.pages() {
        for (before, after) in super::rights::pairs() {
            let mapped = bench.extent(page, 1, 2);
            bench.map(mapped, page, before, bench.returns)?;
            for all in [bench.extent(page, 1, 3), bench.extent(page, 0, 3)] {
                is_refused(bench.memory.protect(all, after).is_err(), Call::Protect, all)?;
                bench.rights(mapped, before, Call::Protect)?;
            }
            bench.unmap(mapped)?;
        }
    }
    Ok(())
}

fn memory_stops_at_gaps(bench: &Bench<'_>) -> Checked {
    for page in bench.pages() {
        for protection in ALL_RIGHTS {
            let mapped = bench.extent(page, 1, 2);
            bench.map(mapped, page, protection, bench.returns)?;
            let frames = bench.probe.frames();
            for all in [bench.extent(page, 1, 3), bench.extent(page, 0, 3)] {
                is_refused(bench.memory.unmap(all).is_err(), Call::Unmap, all)?;
                bench.rights(mapped, protection, Call::Unmap)?;
                claim(bench.probe.frames() == frames, Call::Unmap, all.start(), "frames went")?;
            }
            bench.unmap(mapped)?;
        }
    }
    Ok(())
}

/// Writes and fills that begin in `mapped` and end in what is behind it are refused, and `mapped` stays.
fn crossing(bench: &Bench<'_>, mapped: Extent, access: Access) -> Checked {
    let at = mapped.last() - 20;
    let extent = Extent::new(at, 41).unwrap_or(mapped);
    is_refused(bench.memory.write(access, at, &[1; 41]).is_err(), by(access), extent)?;
    bench.holds(mapped, KEPT, by(access), "a write that was refused changed bytes")?;
    is_refused(bench.memory.fill(access, extent, Trap::ZERO).is_err(), fill_by(access), extent)?;
    let long = Extent::new(mapped.start(), mapped.len() + 1).unwrap_or(mapped);
    is_refused(bench.memory.fill(access, long, Trap::ZERO).is_err(), fill_by(access), long)?;
    bench.holds(mapped, KEPT, fill_by(access), "a fill that was refused changed bytes")
}

fn bytes_stop_at_gaps(bench: &Bench<'_>) -> Checked {
    for page in bench.pages() {
        let mapped = bench.extent(page, 0, 2);
        bench.map(mapped, page, Protection::ReadWrite, KEPT)?;
        crossing(bench, mapped, Access::Store)?;
        crossing(bench, mapped, Access::Poke)?;
        let mut bytes = [7; 41];
        let at = mapped.last() - 20;
        is_refused(bench.memory.read(at, &mut bytes).is_err(), Call::Read, mapped)?;
        bench.unmap(mapped)?;
    }
    Ok(())
}

fn bytes_stop_at_rights(bench: &Bench<'_>) -> Checked {
    for page in bench.pages() {
        for protection in [Protection::ReadExecute, Protection::ReadOnly, Protection::NoAccess] {
            let (writable, other) = (bench.extent(page, 0, 2), bench.extent(page, 2, 1));
            bench.map(writable, page, Protection::ReadWrite, KEPT)?;
            bench.map(other, page, protection, KEPT)?;
            crossing(bench, writable, Access::Store)?;
            let at = other.start() + 8;
            let refused = bench.memory.write(Access::Store, at, &[1]).is_err();
            claim(refused, Call::Store, at, "a store to memory that is not writable is not refused")?;
            if protection != Protection::NoAccess {
                bench.holds(other, KEPT, Call::Store, "a write that was refused changed bytes")?;
            }
            bench.unmap(joined(writable, other))?;
        }
    }
    Ok(())
}

/// A backend may unmap a part of a leaf. One that does it unmaps that part only.
fn parts_go_alone(bench: &Bench<'_>) -> Checked {
    let small = bench.small().bytes();
    for page in bench.pages().skip(1) {
        for (offset, len) in
            [(0, small), (page.bytes() - small, 2 * small), (page.bytes() + small, page.bytes() - small)]
        {
            let extent = bench.extent(page, 0, 2);
            bench.map(extent, page, Protection::ReadExecute, bench.returns)?;
            let frames = bench.probe.frames();
            let goes = part(extent, offset, len);
            let is_refused = bench.memory.unmap(goes).is_err();
            let left = if is_refused { Protection::ReadExecute } else { Protection::NoAccess };
            bench.rights(goes, left, Call::Unmap)?;
            let before = extent.part(0, offset);
            let behind = extent.part(offset + len, extent.len() - offset - len);
            for rest in [before, behind].into_iter().flatten() {
                bench.rights(rest, Protection::ReadExecute, Call::Unmap)?;
            }
            if is_refused {
                let kept = bench.probe.frames() == frames;
                claim(kept, Call::Unmap, goes.start(), "a call that was refused changed frames")?;
                bench.unmap(extent)?;
            } else {
                [before, behind].into_iter().flatten().try_for_each(|rest| bench.unmap(rest))?;
            }
        }
    }
    Ok(())
}

fn parts_of_pages_are_refused(bench: &Bench<'_>) -> Checked {
    for page in bench.pages() {
        let whole = bench.extent(page, 0, 2);
        let odd = [
            part(whole, 0, page.bytes() / 2 + 1),
            part(whole, 16, page.bytes()),
            part(whole, page.bytes() / 2, page.bytes()),
        ];
        for part in odd {
            let mapping =
                Mapping { rights: Rights::ALL, ..Mapping::new(part, page, Protection::ReadWrite, Trap::ZERO) };
            is_refused(bench.memory.map(&mapping).is_err(), Call::Map, part)?;
            nothing_is_at(bench, whole, Call::Map)?;
        }
        bench.map(whole, page, Protection::ReadWrite, bench.returns)?;
        let small = bench.small().bytes();
        for part in [part(whole, 0, small / 2 + 1), part(whole, 16, small), part(whole, small / 2, small)] {
            is_refused(bench.memory.protect(part, Protection::ReadOnly).is_err(), Call::Protect, part)?;
            is_refused(bench.memory.unmap(part).is_err(), Call::Unmap, part)?;
            bench.rights(whole, Protection::ReadWrite, Call::Protect)?;
        }
        bench.unmap(whole)?;
    }
    Ok(())
}
