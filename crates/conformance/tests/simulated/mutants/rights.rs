//! Backends that break laws 2 and 8.

use execmem_sim::Alias;
use execmem_types::{Access, Backend as _, BackendError, Extent, Mapping, PageSize, Protection, Rights};

use super::{Mutant, leaf, leaves, map_with_all, mutant, remap};
use crate::broken::{GOOD, Methods};
use crate::machine::{Answer, TwoProcessors};

pub(super) const MUTANTS: &[Mutant] = &[
    mutant(
        "text is mapped writable too",
        "rights_are_those_of_the_mapping",
        Methods {
            map: |machine, mapping| {
                let is_both = mapping.protection.is_executable();
                machine.map(&Mapping { is_writable_and_executable: is_both, ..*mapping })
            },
            ..GOOD
        },
    ),
    mutant(
        "data is mapped executable too",
        "rights_are_those_of_the_mapping",
        Methods { map: map_data_executable, ..GOOD },
    ),
    mutant(
        "constants are mapped writable",
        "rights_are_those_of_the_mapping",
        Methods {
            map: |machine, mapping| match mapping.protection {
                Protection::ReadOnly => machine.map(&Mapping { protection: Protection::ReadWrite, ..*mapping }),
                _ => machine.map(mapping),
            },
            ..GOOD
        },
    ),
    mutant(
        "memory without rights can be read",
        "rights_are_what_protect_said",
        Methods {
            protect: |machine, extent, protection| match protection {
                Protection::NoAccess => machine.protect(extent, Protection::ReadOnly),
                _ => machine.protect(extent, protection),
            },
            ..GOOD
        },
    ),
    mutant(
        "of several leaves the first is protected",
        "rights_are_what_protect_said",
        Methods { protect: protect_first, ..GOOD },
    ),
    mutant(
        "of several leaves the last is left",
        "rights_are_what_protect_said",
        Methods { protect: protect_all_but_last, ..GOOD },
    ),
    mutant(
        "a leaf behind one of another size is not protected",
        "rights_change_over_leaves_of_several_sizes",
        Methods { protect: protect_one_size, ..GOOD },
    ),
    mutant(
        "with a part of a leaf the whole leaf changes",
        "rights_of_a_part_change_alone_or_not_at_all",
        Methods { protect: protect_whole_leaves, ..GOOD },
    ),
    mutant(
        "the map of all memory stays writable for mapped text",
        "other_views_do_not_make_it_writable_or_executable",
        Methods {
            map: |machine, mapping| {
                machine.map(mapping)?;
                open_views(machine, mapping.extent);
                Ok(())
            },
            ..GOOD
        },
    ),
    mutant(
        "the map of all memory stays writable for text that was data",
        "other_views_do_not_make_it_writable_or_executable",
        Methods {
            protect: |machine, extent, protection| {
                machine.protect(extent, protection)?;
                open_views(machine, extent);
                Ok(())
            },
            ..GOOD
        },
    ),
    mutant(
        "text is writable while it is poked",
        "text_is_not_writable_while_it_is_poked",
        Methods { map: map_with_all, write: poke_by_opening, ..GOOD },
    ),
    mutant(
        "rights change by way of all rights",
        "rights_that_change_are_never_both",
        Methods {
            protect: |machine, extent, protection| {
                if leaves(machine, extent).len() == 3 && protection != Protection::NoAccess {
                    remap(machine, extent, Protection::ReadExecute, true)?;
                    machine.pause();
                }
                machine.protect(extent, protection)
            },
            ..GOOD
        },
    ),
];

pub(super) const NAMED: &[Mutant] = &[
    mutant("every right is allowed", "rights_that_were_not_named_are_refused", Methods { map: map_with_all, ..GOOD }),
    mutant(
        "execution is always allowed",
        "rights_that_were_not_named_are_refused",
        Methods {
            map: |machine, mapping| {
                machine.map(&Mapping { rights: mapping.rights.and(Protection::ReadExecute), ..*mapping })
            },
            ..GOOD
        },
    ),
    mutant(
        "all rights can not be taken",
        "rights_that_were_not_named_are_refused",
        Methods {
            protect: |machine, extent, protection| match protection {
                Protection::NoAccess => {
                    Err(BackendError::NeverAllowed { extent, rights: Rights::only(protection), protection })
                }
                _ => machine.protect(extent, protection),
            },
            ..GOOD
        },
    ),
    mutant(
        "the first leaf alone is asked",
        "rights_that_a_part_never_named_are_refused",
        Methods { protect: protect_asking_first, ..GOOD },
    ),
    mutant(
        "leaves that allow it change before one that does not",
        "rights_that_a_part_never_named_are_refused",
        Methods {
            protect: |machine, extent, protection| {
                let leaves = leaves(machine, extent).into_iter().filter_map(|leaf| leaf.intersection(extent));
                let first = leaves.map(|leaf| machine.protect(leaf, protection)).find(Result::is_err);
                first.unwrap_or_else(|| machine.protect(extent, protection))
            },
            ..GOOD
        },
    ),
    mutant(
        "rights of the mapping before are still allowed",
        "memory_that_is_mapped_again_names_its_rights_anew",
        Methods { map: map_remembering, unmap: unmap_remembering, ..GOOD },
    ),
    mutant(
        "leaves that became large may have every right",
        "rights_are_remembered_through_changes_and_larger_leaves",
        Methods {
            collapse: |machine, extent, page| {
                machine.collapse(extent, page)?;
                let protection =
                    machine.control.translate(extent.start()).map_or(Protection::NoAccess, |leaf| leaf.protection);
                remap(machine, extent, protection, false)
            },
            ..GOOD
        },
    ),
    mutant(
        "a leaf that is divided may have every right",
        "rights_are_remembered_through_changes_and_larger_leaves",
        Methods {
            protect: |machine, extent, protection| {
                let whole = leaf(machine, extent.start()).unwrap_or(extent);
                machine.protect(extent, protection)?;
                if extent.covers(whole) { Ok(()) } else { remap(machine, extent, protection, false) }
            },
            ..GOOD
        },
    ),
];

fn map_data_executable(machine: &TwoProcessors, mapping: &Mapping) -> Answer {
    let is_data = mapping.protection.is_writable();
    let protection = if is_data { Protection::ReadExecute } else { mapping.protection };
    let rights = mapping.rights.and(protection);
    machine.map(&Mapping { protection, rights, is_writable_and_executable: is_data, ..*mapping })
}

fn protect_first(machine: &TwoProcessors, extent: Extent, protection: Protection) -> Answer {
    let first = leaf(machine, extent.start()).and_then(|leaf| leaf.intersection(extent));
    machine.protect(first.unwrap_or(extent), protection)
}

fn protect_all_but_last(machine: &TwoProcessors, extent: Extent, protection: Protection) -> Answer {
    let leaves = leaves(machine, extent);
    let [most @ .., last] = &*leaves else { return machine.protect(extent, protection) };
    let Some(before) = Extent::between(extent.start(), last.start().into()).filter(|_| !most.is_empty()) else {
        return machine.protect(extent, protection);
    };
    machine.protect(before, protection)
}

/// Stops where the size of leaves changes.
fn protect_one_size(machine: &TwoProcessors, extent: Extent, protection: Protection) -> Answer {
    let size = leaf(machine, extent.start()).map_or(0, Extent::len);
    let same = leaves(machine, extent).into_iter().take_while(|leaf| leaf.len() == size).last();
    let end = same.map_or(extent.last(), Extent::last).min(extent.last());
    machine.protect(Extent::between(extent.start(), u128::from(end) + 1).unwrap_or(extent), protection)
}

fn protect_whole_leaves(machine: &TwoProcessors, extent: Extent, protection: Protection) -> Answer {
    let leaves = leaves(machine, extent);
    let [first, .., last] = &*leaves else { return machine.protect(extent, protection) };
    machine.protect(Extent::between(first.start(), last.end()).unwrap_or(extent), protection)
}

/// Asks the first leaf only whether it may have a right, and gives it to all.
fn protect_asking_first(machine: &TwoProcessors, extent: Extent, protection: Protection) -> Answer {
    for leaf in leaves(machine, extent) {
        let Some(part) = leaf.intersection(extent) else { continue };
        match machine.protect(part, protection) {
            Err(refused @ BackendError::NeverAllowed { .. }) if part.start() == extent.start() => return Err(refused),
            Err(BackendError::NeverAllowed { .. }) => remap(machine, part, protection, false)?,
            other => other?,
        }
    }
    machine.protect(extent, protection)
}

fn open_views(machine: &TwoProcessors, extent: Extent) {
    let page = machine.control.machine().page().bytes();
    for place in super::pieces(extent, page) {
        if let Some(leaf) = machine.control.translate(place.start()) {
            machine.control.write_behind(leaf.physical, Alias::ReadWrite);
        }
    }
}

/// Makes text writable, stores, and makes it executable again.
fn poke_by_opening(machine: &TwoProcessors, access: Access, address: u64, bytes: &[u8]) -> Answer {
    let leaf = machine.control.translate(address);
    let Some(leaf) = leaf.filter(|leaf| access == Access::Poke && leaf.protection.is_executable()) else {
        return machine.write(access, address, bytes);
    };
    let size: PageSize = leaf.size;
    let Some(whole) = Extent::new(leaf.start, size.bytes()) else { return Ok(()) };
    machine.protect(whole, Protection::ReadWrite)?;
    machine.pause();
    machine.write(Access::Poke, address, bytes)?;
    machine.protect(whole, Protection::ReadExecute)
}

fn unmap_remembering(machine: &TwoProcessors, extent: Extent) -> Answer {
    machine.unmap(extent)?;
    machine.left.lock().unwrap().insert(extent.start(), Vec::new());
    Ok(())
}

fn map_remembering(machine: &TwoProcessors, mapping: &Mapping) -> Answer {
    let was_there = machine.left.lock().unwrap().contains_key(&mapping.extent.start());
    if was_there { map_with_all(machine, mapping) } else { machine.map(mapping) }
}
