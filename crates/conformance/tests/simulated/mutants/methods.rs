//! Backends that do not what their methods say.

use execmem_types::{Backend as _, BackendError, Extent, Protection};

use super::{Mutant, corrupt, leaves, mutant, remap, write_in_one_leaf};
use crate::broken::{GOOD, Methods};

pub(super) const MUTANTS: &[Mutant] = &[
    mutant(
        "several pages are refused",
        "every_page_size_is_available",
        Methods {
            map: |machine, mapping| match mapping.extent.len() / mapping.page.bytes() {
                0 | 1 => machine.map(mapping),
                _ => Err(BackendError::System { errno: 12 }),
            },
            ..GOOD
        },
    ),
    mutant("a write ends with the leaf", "written_bytes_are_read", Methods { write: write_in_one_leaf, ..GOOD }),
    mutant(
        "reads skip what is behind a page",
        "written_bytes_are_read",
        Methods {
            read: |machine, address, bytes| {
                let page = machine.control.machine().page().bytes();
                let len = bytes.len().min(usize::try_from(page - address % page).unwrap());
                machine.read(address, &mut bytes[..len])
            },
            ..GOOD
        },
    ),
    mutant(
        "fills begin with the pattern wherever they begin",
        "fills_are_in_phase_with_the_address",
        Methods {
            fill: |machine, access, extent, pattern| {
                let bytes: Vec<u8> = (0..extent.len()).map(|offset| pattern.at(offset)).collect();
                machine.write(access, extent.start(), &bytes)
            },
            ..GOOD
        },
    ),
    mutant(
        "fills go on to the end of the word",
        "fills_are_in_phase_with_the_address",
        Methods {
            fill: |machine, access, extent, pattern| {
                let end = extent.end().next_multiple_of(4);
                let whole = Extent::between(extent.start(), end).filter(|whole| leaves(machine, *whole).len() == 1);
                machine.fill(access, whole.unwrap_or(extent), pattern)
            },
            ..GOOD
        },
    ),
    mutant(
        "a part of what was stored is told to instruction fetch",
        "stored_code_is_executed_once_it_may_be",
        Methods {
            map: |machine, mapping| {
                machine.map(mapping)?;
                // As if the processor had fetched ahead of what was there.
                machine.fetch_ahead(mapping.extent);
                Ok(())
            },
            sync_code: |machine, extent, scope| {
                machine.sync_code(extent.part(0, 64.min(extent.len())).unwrap_or(extent), scope)
            },
            ..GOOD
        },
    ),
    mutant(
        "frames of the last leaf are lost",
        "frames_come_back",
        Methods {
            unmap: |machine, extent| {
                machine.unmap(extent)?;
                drop(machine.control.take_pages(1));
                Ok(())
            },
            ..GOOD
        },
    ),
    mutant(
        "a gap is named by where the access begins",
        "what_is_not_mapped_is_refused_by_address",
        Methods {
            read: |machine, address, bytes| {
                machine.read(address, bytes).map_err(|error| match error {
                    BackendError::NotMapped { .. } => BackendError::NotMapped { address },
                    other => other,
                })
            },
            ..GOOD
        },
    ),
    mutant(
        "what is not mapped reads as zero",
        "addresses_of_others_are_refused",
        Methods {
            read: |machine, address, bytes| {
                machine.read(address, bytes).or_else(|error| match error {
                    BackendError::NotMapped { .. } => Ok(()),
                    other => Err(other),
                })
            },
            ..GOOD
        },
    ),
    mutant(
        "to unmap what is not mapped is allowed",
        "addresses_of_others_are_refused",
        Methods {
            unmap: |machine, extent| match machine.control.translate(extent.start()) {
                None => Ok(()),
                Some(_) => machine.unmap(extent),
            },
            ..GOOD
        },
    ),
    mutant(
        "memory without rights is read",
        "memory_without_rights_is_not_read",
        Methods { read: |machine, address, bytes| machine.control.read(address, bytes), ..GOOD },
    ),
    mutant(
        "empty reads are checked",
        "empty_accesses_do_nothing",
        Methods {
            read: |machine, address, bytes| match bytes.len() {
                0 => Err(BackendError::NotMapped { address }),
                _ => machine.read(address, bytes),
            },
            ..GOOD
        },
    ),
    mutant(
        "bytes of the last small leaf are lost",
        "contents_and_rights_stay_when_leaves_become_large",
        Methods {
            collapse: |machine, extent, page| {
                machine.collapse(extent, page)?;
                let small = machine.control.machine().page().bytes();
                extent.part(extent.len() - small, small).into_iter().for_each(|last| corrupt(machine, last, 0));
                Ok(())
            },
            ..GOOD
        },
    ),
    mutant(
        "a large leaf is writable",
        "contents_and_rights_stay_when_leaves_become_large",
        Methods {
            collapse: |machine, extent, page| {
                machine.collapse(extent, page)?;
                remap(machine, extent, Protection::ReadWrite, false)
            },
            ..GOOD
        },
    ),
    mutant(
        "nothing is there while leaves become large",
        "code_runs_while_its_leaves_become_large",
        Methods {
            collapse: |machine, extent, page| {
                let protection = machine.control.translate(extent.start()).map(|leaf| leaf.protection);
                if let Some(protection) = protection {
                    let _ = machine.protect(extent, Protection::NoAccess);
                    machine.pause();
                    let _ = machine.protect(extent, protection);
                }
                machine.collapse(extent, page)
            },
            ..GOOD
        },
    ),
    mutant(
        "small frames stay taken",
        "frames_come_back_from_leaves_that_became_large",
        Methods {
            collapse: |machine, extent, page| {
                machine.collapse(extent, page)?;
                drop(machine.control.take_pages(1));
                Ok(())
            },
            ..GOOD
        },
    ),
    mutant(
        "memory with other rights is adopted",
        "memory_that_is_adopted_is_written_and_stays",
        Methods { adopt: |_, _, _| Ok(()), ..GOOD },
    ),
    mutant(
        "adopted memory is filled",
        "memory_that_is_adopted_is_written_and_stays",
        Methods {
            adopt: |machine, extent, protection| {
                machine.adopt(extent, protection)?;
                corrupt(machine, extent, 0xcc);
                Ok(())
            },
            ..GOOD
        },
    ),
];
