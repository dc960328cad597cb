//! Law 5: what is poked keeps its rights and is executed from `sync_code` on.

use core::sync::atomic::Ordering;

use execmem_types::{Access, BackendError, Extent, Protection, SyncScope, Trap};

use super::rights::mixed;
use super::{Check, check};
use crate::Law::PokesReachExecution as LAW;
use crate::Need;
use crate::bench::{Bench, Checked, Stop, by, claim};
use crate::port::Attempt;
use crate::report::Call;

pub(super) const CHECKS: [Check; 8] = [
    check(LAW, "poked_code_is_executed", is_executed),
    check(LAW, "poked_code_is_executed_by_every_processor", is_executed_everywhere),
    check(LAW, "retired_code_is_not_executed", retired_code_traps),
    check(LAW, "pokes_leave_the_rights", leave_the_rights),
    check(LAW, "pokes_reach_across_leaves", reach_across_leaves),
    check(LAW, "pokes_reach_data_and_constants", reach_data),
    check(LAW, "aligned_stores_are_seen_whole", are_seen_whole),
    check(LAW, "without_another_mapping_pokes_are_refused", are_refused_without_another_mapping),
];

fn needs_poke(bench: &Bench<'_>) -> Checked {
    if bench.pokes { Ok(()) } else { Err(Stop::Needs(Need::Poke)) }
}

/// Pokes a return, and with `wipes` a trap after it, everywhere in fresh text; `run` says what execution does then.
fn poke_each(bench: &Bench<'_>, wipes: bool, run: impl Fn(u64) -> Checked) -> Checked {
    needs_poke(bench)?;
    bench.each_extent(|extent, page| {
        bench.map(extent, page, Protection::ReadExecute, bench.trap)?;
        // From here on, every processor holds the trap.
        traps(bench, extent)?;
        match bench.on_second(|| traps(bench, extent)) {
            Err(Stop::Needs(Need::SecondProcessor)) => {}
            other => other?,
        }
        for place in bench.places(extent) {
            let unit = bench.returns.unit().max(bench.trap.unit());
            let code = Extent::new(place, unit).unwrap_or(extent);
            bench.write(Access::Poke, place, bench.returns.bytes())?;
            bench.sync(code, SyncScope::Fresh)?;
            if wipes {
                claim(
                    bench.probe.execute(place) == Attempt::Done,
                    Call::SyncCode,
                    place,
                    "poked code is not executed",
                )?;
                let done = bench.memory.fill(Access::Poke, code, bench.trap).is_ok();
                claim(done, Call::FillByPoke, place, "mapped memory was refused")?;
                bench.sync(code, SyncScope::Retired)?;
            }
            run(place)?;
        }
        bench.unmap(extent)
    })
}

fn traps(bench: &Bench<'_>, extent: Extent) -> Checked {
    bench.places(extent).try_for_each(|place| {
        claim(bench.probe.execute(place) == Attempt::Faulted, Call::Map, place, "fresh text does not trap")
    })
}

fn is_executed(bench: &Bench<'_>) -> Checked {
    poke_each(bench, false, |place| {
        claim(bench.probe.execute(place) == Attempt::Done, Call::SyncCode, place, "poked code is not executed")
    })
}

fn is_executed_everywhere(bench: &Bench<'_>) -> Checked {
    poke_each(bench, false, |place| {
        bench.on_second(|| {
            let done = bench.probe.execute(place) == Attempt::Done;
            claim(done, Call::SyncCode, place, "poked code is not executed by the second processor")
        })
    })
}

fn retired_code_traps(bench: &Bench<'_>) -> Checked {
    poke_each(bench, true, |place| {
        claim(bench.probe.execute(place) == Attempt::Faulted, Call::SyncCode, place, "retired code is executed")
    })
}

fn leave_the_rights(bench: &Bench<'_>) -> Checked {
    needs_poke(bench)?;
    for protection in [Protection::ReadExecute, Protection::ReadOnly] {
        bench.each_extent(|extent, page| {
            bench.map(extent, page, protection, bench.returns)?;
            for place in bench.places(extent) {
                bench.write(Access::Poke, place, bench.returns.bytes())?;
            }
            bench.sync(extent, SyncScope::Fresh)?;
            bench.rights(extent, protection, Call::Poke)?;
            let done = bench.memory.fill(Access::Poke, extent, bench.returns).is_ok();
            claim(done, Call::FillByPoke, extent.start(), "mapped memory was refused")?;
            bench.sync(extent, SyncScope::Fresh)?;
            bench.rights(extent, protection, Call::FillByPoke)?;
            bench.unmap(extent)
        })?;
    }
    Ok(())
}

fn reach_across_leaves(bench: &Bench<'_>) -> Checked {
    needs_poke(bench)?;
    let bytes: [u8; 64] = core::array::from_fn(|index| u8::try_from(index).unwrap_or(0));
    let across = |border: u64| {
        let at = border - 27;
        bench.write(Access::Poke, at, &bytes)?;
        for (place, byte) in (at..).zip(bytes) {
            let seen = (bench.load(place), bench.read(place));
            claim(seen == (Some(byte), Some(byte)), Call::Poke, place, "a byte did not arrive")?;
        }
        for place in (at - 8..at).chain(at + 64..at + 72) {
            let stays = bench.load(place) == Some(bench.returns.at(place));
            claim(stays, Call::Poke, place, "a byte beside them changed")?;
        }
        Ok(())
    };
    bench.each_extent(|extent, page| {
        bench.map(extent, page, Protection::ReadExecute, bench.returns)?;
        let leaf = if extent.len() < 3 * page.bytes() { bench.small() } else { page };
        across(extent.start() + leaf.bytes())?;
        bench.unmap(extent)
    })?;
    let (_, behind, all) = mixed(bench, Protection::ReadExecute)?;
    across(behind.start())?;
    bench.unmap(all)
}

fn reach_data(bench: &Bench<'_>) -> Checked {
    needs_poke(bench)?;
    for protection in [Protection::ReadWrite, Protection::ReadOnly] {
        bench.each_extent(|extent, page| {
            bench.map(extent, page, protection, Trap::ZERO)?;
            let place = extent.last() - 1;
            bench.write(Access::Poke, place, &[7, 8])?;
            let seen = (bench.load(place), bench.load(place + 1), bench.load(place - 1));
            claim(seen == (Some(7), Some(8), Some(0)), Call::Poke, place, "bytes did not arrive")?;
            bench.unmap(extent)
        })?;
    }
    Ok(())
}

fn are_seen_whole(bench: &Bench<'_>) -> Checked {
    let len = usize::try_from(bench.memory.stores_at_once().bytes()).unwrap_or(8).min(8);
    let words = [[0x11; 8], [0xee; 8]];
    for access in [Access::Store, Access::Poke] {
        if access == Access::Poke && !bench.pokes {
            continue;
        }
        let extent = bench.extent(bench.small(), 0, 1);
        bench.map(extent, bench.small(), Protection::ReadWrite, Trap::byte(0x11))?;
        let place = extent.start() + 64;
        bench.beside(
            || (0..20_000).try_for_each(|round| bench.write(access, place, &words[round % 2][..len])),
            |has_ended| {
                while !has_ended.load(Ordering::Acquire) {
                    let mut seen = [0; 8];
                    let loaded = bench.probe.load(place, &mut seen[..len]) == Attempt::Done;
                    let whole = words.iter().any(|word| word[..len] == seen[..len]);
                    claim(loaded && whole, by(access), place, "a mixture of two stores was seen")?;
                }
                Ok(())
            },
        )?;
        bench.unmap(extent)?;
    }
    Ok(())
}

fn are_refused_without_another_mapping(bench: &Bench<'_>) -> Checked {
    if bench.pokes {
        return Ok(());
    }
    bench.each_extent(|extent, page| {
        for protection in [Protection::ReadWrite, Protection::ReadExecute] {
            bench.map(extent, page, protection, bench.returns)?;
            let refused = Err(BackendError::Unsupported);
            let written = bench.memory.write(Access::Poke, extent.start(), &[1]) == refused;
            claim(written, Call::Poke, extent.start(), "it is not refused as Unsupported")?;
            let filled = bench.memory.fill(Access::Poke, extent, Trap::ZERO) == refused;
            claim(filled, Call::FillByPoke, extent.start(), "it is not refused as Unsupported")?;
            bench.holds(extent, bench.returns, Call::Poke, "a call that was refused changed bytes")?;
            bench.unmap(extent)?;
        }
        Ok(())
    })
}
