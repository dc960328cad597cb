//! Backends that break law 1: something is left of a call that fails.

use execmem_types::{Access, Backend as _, BackendError, Extent, Mapping, PageSize, Protection, Trap};

use super::{Mutant, leaf, leaves, mutant, pieces};
use crate::broken::{GOOD, Methods};
use crate::machine::{Answer, TwoProcessors};

pub(super) const MUTANTS: &[Mutant] = &[
    mutant("memory is mapped over", "memory_is_not_mapped_over", Methods { map: map_over, ..GOOD }),
    mutant(
        "leaves up to the first that is mapped are left",
        "memory_is_not_mapped_over",
        Methods { map: map_leaf_by_leaf, ..GOOD },
    ),
    mutant(
        "frames for memory that is mapped are lost",
        "memory_is_not_mapped_over",
        Methods { map: map_losing, ..GOOD },
    ),
    mutant(
        "leaves up to the frame that is refused are left",
        "a_map_that_fails_half_way_leaves_nothing",
        Methods { map: map_leaf_by_leaf, ..GOOD },
    ),
    mutant(
        "frames up to the one that is refused are lost",
        "a_map_that_fails_half_way_leaves_nothing",
        Methods { map: map_losing, ..GOOD },
    ),
    mutant(
        "memory is mapped as far as there are frames",
        "a_map_that_fails_half_way_leaves_nothing",
        Methods {
            map: |machine, mapping| match map_leaf_by_leaf(machine, mapping) {
                Err(BackendError::OutOfMemory { .. }) => Ok(()),
                other => other,
            },
            ..GOOD
        },
    ),
    mutant(
        "rights change up to a leaf that cannot be divided",
        "a_change_of_rights_that_fails_half_way_changes_nothing",
        Methods { protect: protect_leaf_by_leaf, ..GOOD },
    ),
    mutant(
        "rights change up to a gap",
        "rights_do_not_change_up_to_a_gap",
        Methods { protect: protect_leaf_by_leaf, ..GOOD },
    ),
    mutant("memory goes up to a gap", "memory_does_not_go_up_to_a_gap", Methods { unmap: unmap_leaf_by_leaf, ..GOOD }),
    mutant(
        "gaps are passed over",
        "memory_does_not_go_up_to_a_gap",
        Methods {
            unmap: |machine, extent| {
                let page = machine.control.machine().page().bytes();
                for leaf in pieces(extent, page).filter_map(|page| leaf(machine, page.start())) {
                    let _ = machine.unmap(leaf);
                }
                Ok(())
            },
            ..GOOD
        },
    ),
    mutant(
        "bytes are written up to a gap",
        "bytes_do_not_change_up_to_a_gap",
        Methods { write: write_byte_by_byte, ..GOOD },
    ),
    mutant(
        "bytes are filled up to a gap",
        "bytes_do_not_change_up_to_a_gap",
        Methods { fill: fill_leaf_by_leaf, ..GOOD },
    ),
    mutant(
        "bytes are written up to memory that forbids it",
        "bytes_do_not_change_up_to_memory_that_forbids_it",
        Methods { write: write_byte_by_byte, ..GOOD },
    ),
    mutant(
        "stores reach memory that forbids them",
        "bytes_do_not_change_up_to_memory_that_forbids_it",
        Methods { write: |machine, _, address, bytes| machine.write(Access::Poke, address, bytes), ..GOOD },
    ),
    mutant(
        "with a part a whole leaf goes",
        "parts_of_leaves_go_alone_or_not_at_all",
        Methods { unmap: unmap_whole_leaves, ..GOOD },
    ),
    mutant("lengths are rounded up", "parts_of_pages_are_refused", Methods { map: map_rounded, ..GOOD }),
    mutant(
        "rights change for whole pages around what was asked",
        "parts_of_pages_are_refused",
        Methods {
            protect: |machine, extent, protection| machine.protect(rounded(machine, extent), protection),
            ..GOOD
        },
    ),
    mutant(
        "gaps are filled to make a large leaf",
        "what_cannot_become_large_stays_as_it_is",
        Methods { collapse: collapse_filling, ..GOOD },
    ),
    mutant(
        "leaves with other rights get those of the first",
        "what_cannot_become_large_stays_as_it_is",
        Methods {
            collapse: |machine, extent, page| {
                if let Some(first) = machine.control.translate(extent.start()) {
                    let _ = machine.sim.protect(extent, first.protection);
                    machine.flush(extent, true);
                }
                machine.collapse(extent, page)
            },
            ..GOOD
        },
    ),
    mutant(
        "bytes move before there is a large leaf",
        "leaves_that_fail_to_become_large_stay_as_they_are",
        Methods {
            collapse: |machine, extent, page| {
                machine.collapse(extent, page).inspect_err(|_| {
                    let _ = machine.control.corrupt(extent.start() + 16, &[0]);
                })
            },
            ..GOOD
        },
    ),
    mutant(
        "frames for a large leaf are lost",
        "leaves_that_fail_to_become_large_stay_as_they_are",
        Methods {
            collapse: |machine, extent, page| {
                machine.collapse(extent, page).inspect_err(|_| drop(machine.control.take_pages(1)))
            },
            ..GOOD
        },
    ),
];

fn map_over(machine: &TwoProcessors, mapping: &Mapping) -> Answer {
    let page = machine.control.machine().page().bytes();
    for place in pieces(mapping.extent, page).collect::<Vec<_>>() {
        if let Some(leaf) = leaf(machine, place.start()) {
            let _ = machine.unmap(leaf);
        }
    }
    machine.map(mapping)
}

fn map_leaf_by_leaf(machine: &TwoProcessors, mapping: &Mapping) -> Answer {
    machine.check_caller()?;
    if !mapping.extent.is_aligned(mapping.page.bytes()) {
        return machine.map(mapping);
    }
    pieces(mapping.extent, mapping.page.bytes()).try_for_each(|extent| machine.map(&Mapping { extent, ..*mapping }))
}

fn map_losing(machine: &TwoProcessors, mapping: &Mapping) -> Answer {
    machine.map(mapping).inspect_err(|_| drop(machine.control.take_pages(1)))
}

fn protect_leaf_by_leaf(machine: &TwoProcessors, extent: Extent, protection: Protection) -> Answer {
    machine.check_caller()?;
    for leaf in leaves(machine, extent) {
        leaf.intersection(extent).map_or(Ok(()), |part| machine.protect(part, protection))?;
    }
    machine.protect(extent, protection)
}

fn unmap_leaf_by_leaf(machine: &TwoProcessors, extent: Extent) -> Answer {
    let leaves = leaves(machine, extent);
    let is_whole = leaves.iter().all(|leaf| extent.covers(*leaf));
    let (true, Some(last)) = (is_whole, leaves.last()) else { return machine.unmap(extent) };
    leaves.iter().try_for_each(|leaf| machine.unmap(*leaf))?;
    if last.last() >= extent.last() { Ok(()) } else { Err(BackendError::NotMapped { address: last.last() + 1 }) }
}

fn unmap_whole_leaves(machine: &TwoProcessors, extent: Extent) -> Answer {
    let leaves = leaves(machine, extent);
    let [first, .., last] = &*[leaves.clone(), leaves].concat() else { return machine.unmap(extent) };
    machine.unmap(Extent::between(first.start(), last.end()).unwrap_or(extent))
}

fn write_byte_by_byte(machine: &TwoProcessors, access: Access, address: u64, bytes: &[u8]) -> Answer {
    bytes.iter().enumerate().try_for_each(|(at, byte)| machine.write(access, address.wrapping_add(at as u64), &[*byte]))
}

fn fill_leaf_by_leaf(machine: &TwoProcessors, access: Access, extent: Extent, pattern: Trap) -> Answer {
    for leaf in leaves(machine, extent) {
        leaf.intersection(extent).map_or(Ok(()), |part| machine.fill(access, part, pattern))?;
    }
    machine.fill(access, extent, pattern)
}

/// Whole pages around an extent.
fn rounded(machine: &TwoProcessors, extent: Extent) -> Extent {
    let page = machine.control.machine().page();
    let start = page.round_down(extent.start());
    let end = extent.end().next_multiple_of(page.bytes().into());
    Extent::between(start, end).unwrap_or(extent)
}

fn map_rounded(machine: &TwoProcessors, mapping: &Mapping) -> Answer {
    let len = mapping.page.round_up(mapping.extent.len()).unwrap_or(mapping.extent.len());
    let extent = Extent::new(mapping.extent.start(), len).unwrap_or(mapping.extent);
    machine.map(&Mapping { extent, ..*mapping })
}

fn collapse_filling(machine: &TwoProcessors, extent: Extent, page: PageSize) -> Answer {
    let small = machine.control.machine().page();
    let protection = machine.control.translate(extent.start()).map(|leaf| leaf.protection);
    if let Some(protection) = protection {
        for gap in pieces(extent, small.bytes()) {
            let mapping = Mapping::new(gap, small, protection, Trap::ZERO);
            let _ = machine.sim.map(&Mapping { rights: execmem_types::Rights::ALL, ..mapping });
        }
    }
    machine.collapse(extent, page)
}
