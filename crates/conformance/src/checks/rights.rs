//! Law 2: no address is writable and executable, in any view, at any step.

use core::sync::atomic::{AtomicU32, Ordering};

use execmem_types::{Access, Extent, Mapping, Protection, SyncScope};

use super::{Check, check};
use crate::Law::NeverWritableAndExecutable as LAW;
use crate::Need;
use crate::bench::{ALL_RIGHTS, Bench, Checked, Stop, broken, claim, joined};
use crate::port::Attempt;
use crate::report::Call;

pub(super) const CHECKS: [Check; 7] = [
    check(LAW, "rights_are_those_of_the_mapping", are_those_of_the_mapping),
    check(LAW, "rights_are_what_protect_said", are_what_protect_said),
    check(LAW, "rights_change_over_leaves_of_several_sizes", change_over_leaves_of_several_sizes),
    check(LAW, "rights_of_a_part_change_alone_or_not_at_all", change_in_a_part),
    check(LAW, "other_views_do_not_make_it_writable_or_executable", views_agree),
    check(LAW, "text_is_not_writable_while_it_is_poked", is_not_writable_while_poked),
    check(LAW, "rights_that_change_are_never_both", are_never_both),
];

fn are_those_of_the_mapping(bench: &Bench<'_>) -> Checked {
    for protection in ALL_RIGHTS {
        bench.each_extent(|extent, page| {
            bench.map(extent, page, protection, bench.returns)?;
            bench.rights(extent, protection, Call::Map)?;
            bench.unmap(extent)?;
            bench.map_as(&Mapping::new(extent, page, protection, bench.returns))?;
            bench.rights(extent, protection, Call::Map)?;
            bench.unmap(extent)
        })?;
    }
    Ok(())
}

fn are_what_protect_said(bench: &Bench<'_>) -> Checked {
    for (before, after) in pairs() {
        bench.each_extent(|extent, page| {
            bench.map(extent, page, before, bench.returns)?;
            bench.protect(extent, after)?;
            bench.rights(extent, after, Call::Protect)?;
            bench.protect(extent, before)?;
            bench.rights(extent, before, Call::Protect)?;
            bench.unmap(extent)
        })?;
    }
    Ok(())
}

/// Every change of rights there is.
pub(super) fn pairs() -> impl Iterator<Item = (Protection, Protection)> {
    let all = ALL_RIGHTS.into_iter().flat_map(|before| ALL_RIGHTS.into_iter().map(move |after| (before, after)));
    all.filter(|(before, after)| before != after)
}

/// Two small pages and, behind them, a large one. Both parts and all of it.
pub(super) fn mixed(bench: &Bench<'_>, protection: Protection) -> Result<(Extent, Extent, Extent), Stop> {
    let behind = bench.extent(bench.large(), 1, 1);
    let pages = bench.large().bytes() / bench.small().bytes();
    let before = bench.extent(bench.small(), pages.max(2) - 2, 2);
    let behind = if pages < 2 { bench.extent(bench.small(), 2, 1) } else { behind };
    bench.map(before, bench.small(), protection, bench.returns)?;
    bench.map(behind, bench.large(), protection, bench.returns)?;
    Ok((before, behind, joined(before, behind)))
}

fn change_over_leaves_of_several_sizes(bench: &Bench<'_>) -> Checked {
    for (before, after) in pairs() {
        let (small, large, all) = mixed(bench, before)?;
        bench.protect(all, after)?;
        bench.rights(small, after, Call::Protect)?;
        bench.rights(large, after, Call::Protect)?;
        bench.unmap(all)?;
    }
    Ok(())
}

/// A backend may refuse to divide a leaf. One that does it changes that part only.
fn change_in_a_part(bench: &Bench<'_>) -> Checked {
    for page in bench.pages().skip(1) {
        for (before, after) in pairs() {
            let extent = bench.extent(page, 0, 2);
            bench.map(extent, page, before, bench.returns)?;
            let small = bench.small().bytes();
            let part = extent.part(page.bytes() - small, 2 * small).unwrap_or(extent);
            let changed = if bench.memory.protect(part, after).is_ok() { after } else { before };
            let left = extent.part(0, part.start() - extent.start()).unwrap_or(extent);
            let right = extent.part(part.last() + 1 - extent.start(), left.len()).unwrap_or(extent);
            for (extent, protection) in [(left, before), (part, changed), (right, before)] {
                bench.rights(extent, protection, Call::Protect)?;
            }
            bench.unmap(extent)?;
        }
    }
    Ok(())
}

fn views_agree(bench: &Bench<'_>) -> Checked {
    for (before, after) in pairs() {
        bench.each_extent(|extent, page| {
            bench.map(extent, page, before, bench.returns)?;
            check_views(bench, extent, before, Call::Map)?;
            bench.protect(extent, after)?;
            check_views(bench, extent, after, Call::Protect)?;
            if bench.pokes {
                bench.write(Access::Poke, extent.start(), bench.returns.bytes())?;
                check_views(bench, extent, after, Call::Poke)?;
            }
            bench.unmap(extent)
        })?;
    }
    Ok(())
}

fn check_views(bench: &Bench<'_>, extent: Extent, protection: Protection, call: Call) -> Checked {
    for place in bench.places(extent) {
        if bench.probe.view(place, 0).is_none() {
            return Err(Stop::Needs(Need::Views));
        }
        for view in (0..).map_while(|index| bench.probe.view(place, index)) {
            let stores = bench.probe.store(view, bench.returns.at(place)) == Attempt::Done;
            let runs = bench.probe.execute(view) == Attempt::Done;
            claim(!runs, call, place, "it can be executed at another address")?;
            claim(!stores || !protection.is_executable(), call, place, "text can be stored to at another address")?;
        }
    }
    Ok(())
}

fn is_not_writable_while_poked(bench: &Bench<'_>) -> Checked {
    if !bench.pokes {
        return Err(Stop::Needs(Need::Poke));
    }
    bench.each_extent(|extent, page| {
        bench.map(extent, page, Protection::ReadExecute, bench.returns)?;
        let place = extent.start();
        bench.beside(
            || {
                for access in 0..64 {
                    let at = place + access % 4 * bench.returns.unit();
                    bench.write(Access::Poke, at, bench.returns.bytes())?;
                    bench.sync(extent, SyncScope::Fresh)?;
                }
                Ok(())
            },
            |has_ended| {
                while !has_ended.load(Ordering::Acquire) {
                    let stored = bench.probe.store(place, bench.returns.at(place)) == Attempt::Done;
                    claim(!stored, Call::Poke, place, "text was writable meanwhile")?;
                }
                Ok(())
            },
        )?;
        bench.unmap(extent)
    })
}

/// While rights go from write to execute, a store is impossible once a call was possible; and the other way round.
fn are_never_both(bench: &Bench<'_>) -> Checked {
    bench.each_extent(|extent, page| {
        bench.map(extent, page, Protection::ReadWrite, bench.returns)?;
        let change = AtomicU32::new(0);
        let place = extent.last() - (bench.returns.unit() - 1);
        let executes = || bench.probe.execute(place) == Attempt::Done;
        let stores = || bench.probe.store(place, bench.returns.at(place)) == Attempt::Done;
        bench.beside(
            || {
                for _ in 0..32 {
                    for protection in [Protection::ReadExecute, Protection::ReadWrite] {
                        change.fetch_add(1, Ordering::AcqRel);
                        bench.protect(extent, protection)?;
                    }
                }
                Ok(())
            },
            |has_ended| {
                while !has_ended.load(Ordering::Acquire) {
                    let number = change.load(Ordering::Acquire);
                    // The right that comes first, and then the one that has gone by then.
                    let (comes, goes): (&dyn Fn() -> bool, &dyn Fn() -> bool) =
                        if number % 2 == 1 { (&executes, &stores) } else { (&stores, &executes) };
                    let both = comes() && goes();
                    if both && change.load(Ordering::Acquire) == number {
                        return broken(Call::Protect, place, "it was writable and executable meanwhile");
                    }
                }
                Ok(())
            },
        )?;
        bench.unmap(extent)
    })
}
