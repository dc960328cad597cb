//! Law 8: memory has no rights but those that its mapping said.

use execmem_types::{Extent, Mapping, PageSize, Protection, Rights};

use super::{Check, check};
use crate::Law::RightsAreNamed as LAW;
use crate::bench::{ALL_RIGHTS, Bench, Checked, claim, joined, part};
use crate::report::Call;

pub(super) const CHECKS: [Check; 4] = [
    check(LAW, "rights_that_were_not_named_are_refused", unnamed_rights_are_refused),
    check(LAW, "rights_that_a_part_never_named_are_refused", parts_are_asked),
    check(LAW, "memory_that_is_mapped_again_names_its_rights_anew", names_anew),
    check(LAW, "rights_are_remembered_through_changes_and_larger_leaves", are_remembered),
];

/// Memory that may have `first` and `second`.
fn map_with(bench: &Bench<'_>, extent: Extent, page: PageSize, first: Protection, second: Protection) -> Checked {
    bench.map_as(&Mapping::new(extent, page, first, bench.returns).becoming(second))
}

/// Rights that none of `named` is are refused, and memory keeps the rights it has.
fn refuses_others(bench: &Bench<'_>, extent: Extent, has: Protection, named: &[Protection]) -> Checked {
    let others = ALL_RIGHTS.into_iter().filter(|other| *other != Protection::NoAccess && !named.contains(other));
    for other in others {
        let refused = bench.memory.protect(extent, other).is_err();
        claim(refused, Call::Protect, extent.start(), "a right that was not named is not refused")?;
        bench.rights(extent, has, Call::Protect)?;
    }
    Ok(())
}

fn unnamed_rights_are_refused(bench: &Bench<'_>) -> Checked {
    for first in ALL_RIGHTS {
        for second in ALL_RIGHTS {
            bench.each_extent(|extent, page| {
                map_with(bench, extent, page, first, second)?;
                refuses_others(bench, extent, first, &[first, second])?;
                bench.protect(extent, second)?;
                bench.rights(extent, second, Call::Protect)?;
                bench.protect(extent, Protection::NoAccess)?;
                bench.rights(extent, Protection::NoAccess, Call::Protect)?;
                refuses_others(bench, extent, Protection::NoAccess, &[first, second])?;
                bench.protect(extent, first)?;
                bench.rights(extent, first, Call::Protect)?;
                bench.unmap(extent)
            })?;
        }
    }
    Ok(())
}

fn parts_are_asked(bench: &Bench<'_>) -> Checked {
    for page in bench.pages() {
        let (first, second) = (bench.extent(page, 0, 2), bench.extent(page, 2, 1));
        map_with(bench, first, page, Protection::ReadWrite, Protection::ReadExecute)?;
        map_with(bench, second, page, Protection::ReadWrite, Protection::ReadOnly)?;
        let all = joined(first, second);
        refuses_others(bench, all, Protection::ReadWrite, &[Protection::ReadWrite])?;
        bench.protect(first, Protection::ReadExecute)?;
        bench.protect(second, Protection::ReadOnly)?;
        bench.rights(first, Protection::ReadExecute, Call::Protect)?;
        bench.rights(second, Protection::ReadOnly, Call::Protect)?;
        bench.protect(all, Protection::ReadWrite)?;
        bench.unmap(all)?;
    }
    Ok(())
}

fn names_anew(bench: &Bench<'_>) -> Checked {
    bench.each_extent(|extent, page| {
        bench.map(extent, page, Protection::ReadWrite, bench.returns)?;
        bench.protect(extent, Protection::ReadExecute)?;
        bench.unmap(extent)?;
        bench.map_as(&Mapping::new(extent, page, Protection::ReadWrite, bench.returns))?;
        refuses_others(bench, extent, Protection::ReadWrite, &[Protection::ReadWrite])?;
        bench.unmap(extent)
    })
}

fn are_remembered(bench: &Bench<'_>) -> Checked {
    for page in bench.pages().skip(1) {
        let extent = bench.extent(page, 0, 1);
        let mapping = Mapping {
            rights: Rights::only(Protection::ReadWrite),
            ..Mapping::new(extent, bench.small(), Protection::ReadWrite, bench.returns)
        };
        bench.map_as(&mapping)?;
        // Whether or not it becomes a large leaf, and whether or not that is divided.
        let _ = bench.memory.collapse(extent, page);
        refuses_others(bench, extent, Protection::ReadWrite, &[Protection::ReadWrite])?;
        let small = part(extent, bench.small().bytes(), bench.small().bytes());
        let _ = bench.memory.protect(small, Protection::NoAccess);
        for other in [Protection::ReadExecute, Protection::ReadOnly] {
            let refused = bench.memory.protect(small, other).is_err();
            claim(refused, Call::Protect, small.start(), "a right that was not named is not refused")?;
        }
        bench.protect(extent, Protection::ReadWrite)?;
        bench.rights(extent, Protection::ReadWrite, Call::Protect)?;
        bench.unmap(extent)?;
    }
    Ok(())
}
