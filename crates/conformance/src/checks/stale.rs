//! Law 4: when `protect` and `unmap` return, no processor acts on what was before.
//!
//! Every place is used first, on each processor, so that its translation is held. What page tables say alone is checked
//! by law 2.

use core::sync::atomic::Ordering;

use execmem_types::{Extent, Protection, Trap};

use super::rights::{mixed, pairs};
use super::{Check, check};
use crate::Law::NothingStale as LAW;
use crate::bench::{Bench, Checked, claim};
use crate::port::Attempt;
use crate::report::Call;

pub(super) const CHECKS: [Check; 8] = [
    check(LAW, "rights_taken_are_gone_at_once", rights_are_gone),
    check(LAW, "rights_taken_are_gone_on_every_processor", rights_are_gone_everywhere),
    check(LAW, "rights_taken_are_gone_from_leaves_of_several_sizes", rights_are_gone_from_mixed_leaves),
    check(LAW, "unmapped_memory_is_gone_at_once", memory_is_gone),
    check(LAW, "unmapped_memory_is_gone_on_every_processor", memory_is_gone_everywhere),
    check(LAW, "rights_taken_are_gone_from_a_processor_that_uses_them", rights_are_gone_under_use),
    check(LAW, "unmapped_memory_is_gone_from_a_processor_that_uses_it", memory_is_gone_under_use),
    check(LAW, "an_address_leads_to_its_new_memory_on_every_processor", leads_to_new_memory),
];

/// How a check runs on a processor: this one, or the second.
type On = fn(&Bench<'_>, &(dyn Fn() -> Checked + Sync)) -> Checked;

fn here(_: &Bench<'_>, body: &(dyn Fn() -> Checked + Sync)) -> Checked {
    body()
}

fn there(bench: &Bench<'_>, body: &(dyn Fn() -> Checked + Sync)) -> Checked {
    bench.on_second(body)
}

fn rights_are_gone(bench: &Bench<'_>) -> Checked {
    take_rights(bench, here)
}

fn rights_are_gone_everywhere(bench: &Bench<'_>) -> Checked {
    take_rights(bench, there)
}

fn take_rights(bench: &Bench<'_>, on: On) -> Checked {
    for (before, after) in pairs() {
        bench.each_extent(|extent, page| {
            bench.map(extent, page, before, bench.returns)?;
            on(bench, &|| bench.rights_here(extent, before, Call::Map))?;
            bench.protect(extent, after)?;
            on(bench, &|| bench.rights_here(extent, after, Call::Protect))?;
            bench.unmap(extent)
        })?;
    }
    Ok(())
}

fn rights_are_gone_from_mixed_leaves(bench: &Bench<'_>) -> Checked {
    for (before, after) in pairs() {
        let (small, large, all) = mixed(bench, before)?;
        let have = |rights, call| bench.rights(small, rights, call).and_then(|()| bench.rights(large, rights, call));
        have(before, Call::Map)?;
        bench.protect(all, after)?;
        have(after, Call::Protect)?;
        bench.unmap(all)?;
        have(Protection::NoAccess, Call::Unmap)?;
    }
    Ok(())
}

fn memory_is_gone(bench: &Bench<'_>) -> Checked {
    take_memory(bench, here)
}

fn memory_is_gone_everywhere(bench: &Bench<'_>) -> Checked {
    take_memory(bench, there)
}

fn take_memory(bench: &Bench<'_>, on: On) -> Checked {
    for protection in [Protection::ReadOnly, Protection::ReadWrite, Protection::ReadExecute] {
        bench.each_extent(|extent, page| {
            bench.map(extent, page, protection, bench.returns)?;
            on(bench, &|| bench.rights_here(extent, protection, Call::Map))?;
            bench.unmap(extent)?;
            on(bench, &|| bench.rights_here(extent, Protection::NoAccess, Call::Unmap))
        })?;
    }
    Ok(())
}

fn rights_are_gone_under_use(bench: &Bench<'_>) -> Checked {
    take_under_use(bench, Call::Protect, |extent| bench.protect(extent, Protection::ReadOnly))
}

fn memory_is_gone_under_use(bench: &Bench<'_>) -> Checked {
    take_under_use(bench, Call::Unmap, |extent| bench.unmap(extent))
}

/// The second processor stores without a pause. Once `take` has returned, it cannot.
fn take_under_use(bench: &Bench<'_>, call: Call, take: impl Fn(Extent) -> Checked) -> Checked {
    for _ in 0..8 {
        bench.each_extent(|extent, page| {
            bench.map(extent, page, Protection::ReadWrite, Trap::byte(1))?;
            let place = extent.last();
            bench.beside(
                || take(extent),
                |has_ended| {
                    let mut is_over = false;
                    while !is_over {
                        is_over = has_ended.load(Ordering::Acquire);
                        let stored = bench.probe.store(place, 1) == Attempt::Done;
                        claim(!(is_over && stored), call, place, "a store was possible afterwards")?;
                    }
                    Ok(())
                },
            )?;
            if call == Call::Protect { bench.unmap(extent) } else { Ok(()) }
        })?;
    }
    Ok(())
}

fn leads_to_new_memory(bench: &Bench<'_>) -> Checked {
    bench.each_extent(|extent, page| {
        bench.map(extent, page, Protection::ReadWrite, Trap::byte(1))?;
        let sees = |byte, call| {
            for place in bench.places(extent) {
                claim(bench.load(place) == Some(byte), call, place, "an address leads to memory of before")?;
            }
            Ok(())
        };
        bench.on_second(|| sees(1, Call::Map))?;
        sees(1, Call::Map)?;
        bench.unmap(extent)?;
        bench.map(extent, page, Protection::ReadWrite, Trap::byte(2))?;
        sees(2, Call::Unmap)?;
        bench.on_second(|| sees(2, Call::Unmap))?;
        bench.unmap(extent)
    })
}
