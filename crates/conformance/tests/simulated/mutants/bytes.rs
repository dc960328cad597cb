//! Backends that break laws 3 and 5: bytes that are not there, or not those.

use execmem_types::{Access, Backend as _, BackendError, Extent, Mapping, Protection, SyncScope, Trap};

use super::{Mutant, bytes_of, corrupt, leaf, mutant, pieces, remap, write_in_one_leaf};
use crate::broken::{GOOD, Methods};
use crate::machine::{Answer, TwoProcessors};

pub(super) const FRESH: &[Mutant] = &[
    mutant(
        "fresh memory is zero",
        "fresh_memory_holds_the_pattern",
        Methods { map: |machine, mapping| machine.map(&Mapping { unused: Trap::ZERO, ..*mapping }), ..GOOD },
    ),
    mutant(
        "fresh memory repeats the first byte",
        "fresh_memory_holds_the_pattern",
        Methods {
            map: |machine, mapping| machine.map(&Mapping { unused: Trap::byte(mapping.unused.bytes()[0]), ..*mapping }),
            ..GOOD
        },
    ),
    mutant(
        "of several leaves the first is filled",
        "fresh_memory_holds_the_pattern",
        Methods {
            map: |machine, mapping| {
                machine.map(mapping)?;
                let page = mapping.page.bytes();
                let rest = mapping.extent.part(page, mapping.extent.len() - page);
                rest.into_iter().for_each(|rest| corrupt(machine, rest, 0));
                Ok(())
            },
            ..GOOD
        },
    ),
    mutant(
        "memory that was used holds what it held",
        "memory_that_was_used_is_fresh_again",
        Methods { map: map_as_it_was, unmap: unmap_as_it_is, ..GOOD },
    ),
    mutant(
        "text that was used runs",
        "fresh_text_traps",
        Methods { map: map_as_it_was, unmap: unmap_as_it_is, ..GOOD },
    ),
    mutant(
        "memory is filled once it can be accessed",
        "no_processor_sees_memory_before_it_holds_the_pattern",
        Methods {
            map: |machine, mapping| {
                machine.map(mapping)?;
                let bytes = bytes_of(machine, mapping.extent);
                corrupt(machine, mapping.extent, 0xee);
                machine.pause();
                let _ = machine.control.corrupt(mapping.extent.start(), &bytes);
                Ok(())
            },
            ..GOOD
        },
    ),
];

pub(super) const POKES: &[Mutant] = &[
    mutant("`sync_code` does nothing", "retired_code_is_not_executed", Methods { sync_code: |_, _, _| Ok(()), ..GOOD }),
    mutant(
        "instruction fetch is told of fresh code only",
        "retired_code_is_not_executed",
        Methods {
            sync_code: |machine, extent, scope| match scope {
                SyncScope::Fresh => machine.sync_code(extent, scope),
                SyncScope::Live | SyncScope::Retired => Ok(()),
            },
            ..GOOD
        },
    ),
    mutant(
        "instruction fetch of this processor is told of fresh code",
        "poked_code_is_executed_by_every_processor",
        Methods {
            sync_code: |machine, extent, _| {
                machine.check_caller()?;
                machine.forget_instructions(extent, false);
                Ok(())
            },
            ..GOOD
        },
    ),
    mutant(
        "pokes go nowhere",
        "poked_code_is_executed",
        Methods {
            write: |machine, access, address, bytes| match access {
                Access::Poke => Ok(()),
                Access::Store => machine.write(access, address, bytes),
            },
            ..GOOD
        },
    ),
    mutant(
        "memory stays writable when it was poked",
        "pokes_leave_the_rights",
        Methods {
            write: |machine, access, address, bytes| {
                machine.write(access, address, bytes)?;
                let whole = leaf(machine, address).filter(|_| access == Access::Poke);
                whole.map_or(Ok(()), |whole| remap(machine, whole, Protection::ReadWrite, false))
            },
            ..GOOD
        },
    ),
    mutant(
        "memory loses rights when it is filled",
        "pokes_leave_the_rights",
        Methods {
            fill: |machine, access, extent, pattern| {
                machine.fill(access, extent, pattern)?;
                let whole = leaf(machine, extent.start()).filter(|_| access == Access::Poke);
                whole.map_or(Ok(()), |whole| remap(machine, whole, Protection::NoAccess, false))
            },
            ..GOOD
        },
    ),
    mutant("a poke ends with the leaf", "pokes_reach_across_leaves", Methods { write: write_in_one_leaf, ..GOOD }),
    mutant(
        "a poke writes whole words",
        "pokes_reach_across_leaves",
        Methods {
            write: |machine, access, address, bytes| {
                machine.write(access, address, bytes)?;
                let before = usize::try_from(address % 8).unwrap();
                if access == Access::Poke {
                    let _ = machine.control.corrupt(address & !7, &[0; 8][..before]);
                }
                Ok(())
            },
            ..GOOD
        },
    ),
    mutant(
        "data and constants are not poked",
        "pokes_reach_data_and_constants",
        Methods {
            write: |machine, access, address, bytes| {
                let protection = machine.control.translate(address).map(|leaf| leaf.protection);
                match (access, protection) {
                    (Access::Poke, Some(protection)) if !protection.is_executable() => {
                        Err(BackendError::Denied { address, protection })
                    }
                    _ => machine.write(access, address, bytes),
                }
            },
            ..GOOD
        },
    ),
    mutant(
        "words are written byte by byte",
        "aligned_stores_are_seen_whole",
        Methods {
            write: |machine, access, address, bytes| {
                let (first, rest) = bytes.split_at(bytes.len() / 2);
                machine.write(access, address, first)?;
                if bytes.len() == 8 {
                    machine.pause();
                }
                machine.write(access, address + first.len() as u64, rest)
            },
            ..GOOD
        },
    ),
    mutant(
        "pokes are refused and done",
        "without_another_mapping_pokes_are_refused",
        Methods {
            write: |machine, access, address, bytes| {
                machine.write(access, address, bytes)?;
                if access == Access::Poke { Err(BackendError::Unsupported) } else { Ok(()) }
            },
            fill: |machine, access, extent, pattern| match access {
                Access::Poke => Err(BackendError::Unsupported),
                Access::Store => machine.fill(access, extent, pattern),
            },
            ..GOOD
        },
    ),
    mutant(
        "fills are done where pokes are refused",
        "without_another_mapping_pokes_are_refused",
        Methods {
            write: |machine, access, address, bytes| match access {
                Access::Poke => Err(BackendError::Unsupported),
                Access::Store => machine.write(access, address, bytes),
            },
            ..GOOD
        },
    ),
];

fn unmap_as_it_is(machine: &TwoProcessors, extent: Extent) -> Answer {
    let pages: Vec<_> = pieces(extent, 4096).map(|page| (page.start(), bytes_of(machine, page))).collect();
    machine.unmap(extent)?;
    machine.left.lock().unwrap().extend(pages);
    Ok(())
}

fn map_as_it_was(machine: &TwoProcessors, mapping: &Mapping) -> Answer {
    machine.map(mapping)?;
    let left = machine.left.lock().unwrap();
    for page in pieces(mapping.extent, 4096) {
        if let Some(bytes) = left.get(&page.start()) {
            let _ = machine.control.corrupt(page.start(), bytes);
        }
    }
    Ok(())
}
