//! Backends that break law 4: caches of processors are not told.

use execmem_types::{Backend as _, Extent, Protection};

use super::{Mutant, leaf, mutant, pieces};
use crate::broken::{GOOD, Methods};
use crate::machine::{Answer, TwoProcessors};

pub(super) const MUTANTS: &[Mutant] = &[
    mutant(
        "`protect` flushes nothing",
        "rights_taken_are_gone_at_once",
        Methods { protect: |m, e, p| protect(m, e, p, |_, _| ()), ..GOOD },
    ),
    mutant(
        "`protect` flushes the first page",
        "rights_taken_are_gone_at_once",
        Methods { protect: |m, e, p| protect(m, e, p, |m, e| m.flush(first_page(m, e), true)), ..GOOD },
    ),
    mutant(
        "`protect` flushes this processor",
        "rights_taken_are_gone_on_every_processor",
        Methods { protect: |m, e, p| protect(m, e, p, |m, e| m.flush(e, false)), ..GOOD },
    ),
    mutant(
        "`protect` flushes other processors for the first page",
        "rights_taken_are_gone_on_every_processor",
        Methods {
            protect: |m, e, p| {
                protect(m, e, p, |m, e| {
                    m.flush(e, false);
                    m.flush(first_page(m, e), true);
                })
            },
            ..GOOD
        },
    ),
    mutant(
        "`protect` flushes in steps of the last leaf",
        "rights_taken_are_gone_from_leaves_of_several_sizes",
        Methods { protect: |m, e, p| protect(m, e, p, flush_in_steps), ..GOOD },
    ),
    mutant(
        "`protect` flushes before it changes",
        "rights_taken_are_gone_from_a_processor_that_uses_them",
        Methods {
            protect: |m, e, p| {
                m.flush(e, true);
                m.pause();
                m.sim.protect(e, p)?;
                m.flush(e, false);
                Ok(())
            },
            ..GOOD
        },
    ),
    mutant(
        "`unmap` flushes nothing",
        "unmapped_memory_is_gone_at_once",
        Methods { unmap: |m, e| unmap(m, e, |_, _| ()), ..GOOD },
    ),
    mutant(
        "`unmap` flushes one page of each leaf",
        "unmapped_memory_is_gone_at_once",
        Methods {
            unmap: |m, e| {
                let step = leaf(m, e.start()).map_or(e.len(), Extent::len);
                m.sim.unmap(e)?;
                pieces(e, step).for_each(|leaf| m.flush(first_page(m, leaf), true));
                Ok(())
            },
            ..GOOD
        },
    ),
    mutant(
        "`unmap` flushes this processor",
        "unmapped_memory_is_gone_on_every_processor",
        Methods { unmap: |m, e| unmap(m, e, |m, e| m.flush(e, false)), ..GOOD },
    ),
    mutant(
        "`unmap` flushes before it changes",
        "unmapped_memory_is_gone_from_a_processor_that_uses_it",
        Methods {
            unmap: |m, e| {
                m.flush(e, true);
                m.pause();
                m.sim.unmap(e)?;
                m.flush(e, false);
                Ok(())
            },
            ..GOOD
        },
    ),
    mutant(
        "memory that is mapped again is flushed here",
        "an_address_leads_to_its_new_memory_on_every_processor",
        Methods {
            map: |m, mapping| {
                m.sim.map(mapping)?;
                m.forget_instructions(mapping.extent, true);
                m.flush(mapping.extent, false);
                Ok(())
            },
            unmap: |m, e| unmap(m, e, |_, _| ()),
            ..GOOD
        },
    ),
    mutant(
        "`collapse` flushes nothing",
        "every_processor_reaches_leaves_that_became_large",
        Methods { collapse: |m, e, page| m.check_caller().and_then(|()| m.sim.collapse(e, page)), ..GOOD },
    ),
    mutant(
        "`collapse` flushes this processor",
        "every_processor_reaches_leaves_that_became_large",
        Methods {
            collapse: |m, e, page| {
                m.check_caller()?;
                m.sim.collapse(e, page)?;
                m.flush(e, false);
                Ok(())
            },
            ..GOOD
        },
    ),
];

/// The first page of an extent.
fn first_page(machine: &TwoProcessors, extent: Extent) -> Extent {
    extent.part(0, machine.control.machine().page().bytes()).unwrap_or(extent)
}

fn protect(
    machine: &TwoProcessors,
    extent: Extent,
    protection: Protection,
    flush: fn(&TwoProcessors, Extent),
) -> Answer {
    machine.check_caller()?;
    machine.sim.protect(extent, protection)?;
    flush(machine, extent);
    Ok(())
}

fn unmap(machine: &TwoProcessors, extent: Extent, flush: fn(&TwoProcessors, Extent)) -> Answer {
    machine.check_caller()?;
    machine.sim.unmap(extent)?;
    flush(machine, extent);
    Ok(())
}

/// Flushes what one instruction flushes, as far apart as leaves like the last one are.
fn flush_in_steps(machine: &TwoProcessors, extent: Extent) {
    let step = leaf(machine, extent.last()).map_or(extent.len(), Extent::len);
    for place in pieces(extent, step) {
        let flushed = leaf(machine, place.start()).unwrap_or(place);
        machine.flush(flushed, true);
    }
    if let Some(last) = leaf(machine, extent.last()) {
        machine.flush(last, true);
    }
}
