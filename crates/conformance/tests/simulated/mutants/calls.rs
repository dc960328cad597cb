//! Backends that break laws 6, 7 and 9: calls beside other calls, and of callers that are refused.

use std::sync::atomic::Ordering;

use execmem_types::{Access, Backend as _, Extent, Mapping, Protection};

use super::{Mutant, leaf, mutant};
use crate::broken::{GOOD, Methods};
use crate::machine::{Answer, TwoProcessors};

pub(super) const WAITING: &[Mutant] = &[
    mutant(
        "stores take the lock of slow calls",
        "stores_do_not_wait_for_a_map",
        Methods { write: |m, access, address, bytes| m.slowly(|| m.write(access, address, bytes)), ..GOOD },
    ),
    mutant(
        "fills take the lock of slow calls",
        "stores_do_not_wait_for_a_map",
        Methods { fill: |m, access, extent, pattern| m.slowly(|| m.fill(access, extent, pattern)), ..GOOD },
    ),
    mutant(
        "pokes take the lock of slow calls",
        "pokes_do_not_wait_for_a_map",
        Methods {
            write: |m, access, address, bytes| match access {
                Access::Poke => m.slowly(|| m.write(access, address, bytes)),
                Access::Store => m.write(access, address, bytes),
            },
            ..GOOD
        },
    ),
    mutant(
        "reads take the lock of slow calls",
        "reads_do_not_wait_for_a_map",
        Methods { read: |m, address, bytes| m.slowly(|| m.read(address, bytes)), ..GOOD },
    ),
];

pub(super) const SLOW: &[Mutant] = &[
    mutant(
        "of two maps at once the second is not there",
        "two_processors_map_and_unmap_at_once",
        Methods {
            map: |m, mapping| {
                if meets_another(m, || m.map(mapping))? {
                    m.unmap(mapping.extent)?;
                }
                Ok(())
            },
            ..GOOD
        },
    ),
    mutant(
        "frames are lost when two calls unmap at once",
        "two_processors_map_and_unmap_at_once",
        Methods {
            unmap: |m, extent| {
                if meets_another(m, || m.unmap(extent))? {
                    drop(m.control.take_pages(1));
                }
                Ok(())
            },
            ..GOOD
        },
    ),
    mutant(
        "of two changes of rights at once one is lost",
        "two_processors_map_and_unmap_at_once",
        Methods {
            protect: |m, extent, protection| {
                let before = m.control.translate(extent.start()).map(|leaf| leaf.protection);
                if meets_another(m, || m.protect(extent, protection))? {
                    before.map_or(Ok(()), |before| m.protect(extent, before))?;
                }
                Ok(())
            },
            ..GOOD
        },
    ),
    mutant(
        "the page before is gone while memory is mapped",
        "memory_stays_while_other_memory_comes_and_goes",
        Methods { map: map_hiding_the_page_before, ..GOOD },
    ),
];

pub(super) const CALLERS: &[Mutant] = &[
    mutant(
        "a refused caller can read",
        "a_caller_that_is_refused_is_refused_everywhere",
        Methods { read: |m, address, bytes| execmem_types::Backend::read(&m.sim, address, bytes), ..GOOD },
    ),
    mutant(
        "a refused caller can write",
        "a_caller_that_is_refused_is_refused_everywhere",
        Methods { write: |m, access, address, bytes| m.sim.write(access, address, bytes), ..GOOD },
    ),
    mutant(
        "a refused caller can unmap",
        "a_caller_that_is_refused_is_refused_everywhere",
        Methods {
            unmap: |m, extent| {
                m.sim.unmap(extent)?;
                m.flush(extent, true);
                Ok(())
            },
            ..GOOD
        },
    ),
    mutant(
        "a refused caller can tell instruction fetch",
        "a_caller_that_is_refused_is_refused_everywhere",
        Methods {
            sync_code: |m, extent, scope| {
                m.forget_instructions(extent, true);
                m.sim.sync_code(extent, scope)
            },
            ..GOOD
        },
    ),
];

/// Runs a call, waits for another to come, and says whether one did.
fn meets_another(machine: &TwoProcessors, call: impl FnOnce() -> Answer) -> Result<bool, execmem_types::BackendError> {
    machine.under_way.fetch_add(1, Ordering::AcqRel);
    let answer = call();
    machine.pause_for(|| machine.under_way.load(Ordering::Acquire) > 1);
    let met = machine.under_way.load(Ordering::Acquire) > 1;
    machine.under_way.fetch_sub(1, Ordering::AcqRel);
    answer.map(|()| met)
}

fn map_hiding_the_page_before(machine: &TwoProcessors, mapping: &Mapping) -> Answer {
    let before: Option<Extent> = leaf(machine, mapping.extent.start() - 1);
    let protection = before.and_then(|before| machine.control.translate(before.start())).map(|leaf| leaf.protection);
    if let (Some(before), Some(protection)) = (before, protection) {
        machine.protect(before, Protection::NoAccess)?;
        machine.pause();
        machine.map(mapping)?;
        return machine.protect(before, protection);
    }
    machine.map(mapping)
}
