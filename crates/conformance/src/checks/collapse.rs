//! `collapse` and `adopt`, which a backend may lack.

use core::sync::atomic::Ordering;

use execmem_types::{Access, BackendError, Extent, PageSize, Protection};

use super::{Check, check};
use crate::bench::{ALL_RIGHTS, Bench, Checked, Stop, by, claim, part};
use crate::port::Attempt;
use crate::report::Call;
use crate::{Law, Need};

pub(super) const CHECKS: [Check; 7] = [
    check(Law::Methods, "contents_and_rights_stay_when_leaves_become_large", contents_stay),
    check(Law::Methods, "code_runs_while_its_leaves_become_large", code_runs_meanwhile),
    check(Law::NothingStale, "every_processor_reaches_leaves_that_became_large", every_processor_reaches_them),
    check(Law::FailedCallsChangeNothing, "what_cannot_become_large_stays_as_it_is", what_cannot_stays),
    check(Law::FailedCallsChangeNothing, "leaves_that_fail_to_become_large_stay_as_they_are", failures_change_nothing),
    check(Law::Methods, "frames_come_back_from_leaves_that_became_large", frames_come_back),
    check(Law::Methods, "memory_that_is_adopted_is_written_and_stays", adopted_memory_stays),
];

/// Small pages where a page of another size fits, each with bytes of its own. From the last to the first, so that frames
/// that are given out in order lie in none.
fn small_pages(bench: &Bench<'_>, page: PageSize, protection: Protection) -> Result<Extent, Stop> {
    let extent = bench.extent(page, 0, 2);
    for index in (0..extent.len() / bench.small().bytes()).rev() {
        bench.map(bench.extent(bench.small(), index, 1), bench.small(), Protection::ReadWrite, bench.returns)?;
    }
    for (place, mark) in marks(bench, extent) {
        bench.write(Access::Store, place, &[mark])?;
    }
    bench.protect(extent, protection)?;
    Ok(extent)
}

/// Places near those where the processor is asked, and a byte for each.
fn marks(bench: &Bench<'_>, extent: Extent) -> impl Iterator<Item = (u64, u8)> {
    let beside = move |place: u64| if place + 16 < extent.last() { place + 16 } else { place - 16 };
    bench.places(extent).map(beside).zip(1..=u8::MAX)
}

fn collapse(bench: &Bench<'_>, extent: Extent, page: PageSize) -> Checked {
    match bench.memory.collapse(extent, page) {
        Ok(()) => Ok(()),
        Err(BackendError::Unsupported | BackendError::PageUnavailable { .. } | BackendError::OutOfMemory { .. }) => {
            Err(Stop::Needs(Need::Collapse))
        }
        Err(_) => claim(false, Call::Collapse, extent.start(), "small leaves with equal rights were refused"),
    }
}

fn marks_are_there(bench: &Bench<'_>, extent: Extent) -> Checked {
    for (place, mark) in marks(bench, extent) {
        let seen = (bench.load(place), bench.read(place), bench.load(place - 1));
        let expected = (Some(mark), Some(mark), Some(bench.returns.at(place - 1)));
        claim(seen == expected, Call::Collapse, place, "bytes did not stay")?;
    }
    Ok(())
}

/// Needs a page that is not the smallest.
fn large_pages(bench: &Bench<'_>) -> Result<impl Iterator<Item = PageSize>, Stop> {
    if bench.large() == bench.small() { Err(Stop::Needs(Need::Collapse)) } else { Ok(bench.pages().skip(1)) }
}

fn contents_stay(bench: &Bench<'_>) -> Checked {
    for page in large_pages(bench)? {
        for protection in ALL_RIGHTS {
            let extent = small_pages(bench, page, protection)?;
            collapse(bench, extent, page)?;
            bench.rights(extent, protection, Call::Collapse)?;
            bench.protect(extent, Protection::ReadOnly)?;
            marks_are_there(bench, extent)?;
            bench.unmap(extent)?;
            bench.rights(extent, Protection::NoAccess, Call::Unmap)?;
        }
    }
    Ok(())
}

fn code_runs_meanwhile(bench: &Bench<'_>) -> Checked {
    for page in large_pages(bench)? {
        let extent = small_pages(bench, page, Protection::ReadExecute)?;
        let last = extent.last() - (bench.returns.unit() - 1);
        bench.beside(
            || collapse(bench, extent, page),
            |has_ended| {
                let mut is_over = false;
                while !is_over {
                    is_over = has_ended.load(Ordering::Acquire);
                    for place in [extent.start(), last] {
                        let done = bench.probe.execute(place) == Attempt::Done;
                        claim(done, Call::Collapse, place, "code could not be executed meanwhile")?;
                        let same = bench.load(place) == Some(bench.returns.at(place));
                        claim(same, Call::Collapse, place, "bytes could not be loaded meanwhile")?;
                    }
                }
                Ok(())
            },
        )?;
        bench.unmap(extent)?;
    }
    Ok(())
}

fn every_processor_reaches_them(bench: &Bench<'_>) -> Checked {
    for page in large_pages(bench)? {
        let extent = small_pages(bench, page, Protection::ReadWrite)?;
        // The second processor holds translations of the small leaves, and then stores through what it has.
        bench.on_second(|| marks_are_there(bench, extent))?;
        collapse(bench, extent, page)?;
        bench.on_second(|| {
            for (place, _) in marks(bench, extent) {
                let done = bench.probe.store(place, 0xff) == Attempt::Done;
                claim(done, Call::Collapse, place, "a right is missing")?;
            }
            Ok(())
        })?;
        for (place, _) in marks(bench, extent) {
            let arrived = bench.load(place) == Some(0xff);
            claim(arrived, Call::Collapse, place, "a store of another processor went to the leaf of before")?;
        }
        bench.unmap(extent)?;
    }
    Ok(())
}

fn what_cannot_stays(bench: &Bench<'_>) -> Checked {
    for page in large_pages(bench)? {
        let whole = bench.extent(page, 0, 1);
        let small = bench.small().bytes();
        let most = part(whole, 0, whole.len() - small);
        bench.map(most, bench.small(), Protection::ReadExecute, bench.returns)?;
        for (extent, seen) in [(whole, "a gap is not refused"), (part(most, 0, small), "a part is not refused")] {
            claim(bench.memory.collapse(extent, page).is_err(), Call::Collapse, whole.start(), seen)?;
            bench.rights(most, Protection::ReadExecute, Call::Collapse)?;
            claim(bench.load(whole.last()).is_none(), Call::Collapse, whole.last(), "a gap was filled")?;
        }
        // Leaves whose rights differ are refused, or keep them.
        let last = part(whole, whole.len() - small, small);
        bench.map(last, bench.small(), Protection::ReadWrite, bench.returns)?;
        let _ = bench.memory.collapse(whole, page);
        bench.rights(most, Protection::ReadExecute, Call::Collapse)?;
        bench.rights(last, Protection::ReadWrite, Call::Collapse)?;
        bench.unmap(whole)?;
        let refused = bench.memory.collapse(whole, page).is_err();
        claim(refused, Call::Collapse, whole.start(), "absent memory is not refused")?;
    }
    Ok(())
}

fn failures_change_nothing(bench: &Bench<'_>) -> Checked {
    if !bench.probe.refuse_frame(None) {
        return Err(Stop::Needs(Need::Refusals));
    }
    for page in large_pages(bench)? {
        let extent = small_pages(bench, page, Protection::ReadExecute)?;
        let frames = bench.probe.frames();
        for after in 0..8 {
            bench.probe.refuse_frame(Some(after));
            let made = bench.memory.collapse(extent, page);
            bench.probe.refuse_frame(None);
            bench.rights(extent, Protection::ReadExecute, Call::Collapse)?;
            marks_are_there(bench, extent)?;
            match made {
                Err(_) => claim(
                    bench.probe.frames() == frames,
                    Call::Collapse,
                    extent.start(),
                    "a call that failed kept frames",
                )?,
                Ok(()) => break,
            }
        }
        bench.unmap(extent)?;
    }
    Ok(())
}

fn frames_come_back(bench: &Bench<'_>) -> Checked {
    bench.frames()?;
    for page in large_pages(bench)? {
        let mut before = None;
        for _ in 0..3 {
            let extent = small_pages(bench, page, Protection::ReadExecute)?;
            collapse(bench, extent, page)?;
            bench.unmap(extent)?;
            let frames = bench.frames()?;
            let same = before.is_none_or(|before| before == frames);
            claim(same, Call::Unmap, extent.start(), "frames do not come back")?;
            before = Some(frames);
        }
    }
    Ok(())
}

fn adopted_memory_stays(bench: &Bench<'_>) -> Checked {
    let (extent, protection) = bench.probe.foreign().ok_or(Stop::Needs(Need::Adopt))?;
    let at = extent.last() - 3;
    let before = [0, 1, 2, 3].map(|offset| bench.load(at + offset));
    claim(bench.memory.unmap(extent).is_err(), Call::Unmap, extent.start(), "memory of others was unmapped")?;
    for other in ALL_RIGHTS.into_iter().filter(|other| *other != protection) {
        let refused = bench.memory.adopt(extent, other).is_err();
        claim(refused, Call::Adopt, extent.start(), "memory with other rights was adopted")?;
    }
    match bench.memory.adopt(extent, protection) {
        Err(BackendError::Unsupported) => return Err(Stop::Needs(Need::Adopt)),
        answer => claim(answer.is_ok(), Call::Adopt, extent.start(), "memory with these rights was refused")?,
    }
    let stays = |call| {
        let now = [0, 1, 2, 3].map(|offset| bench.load(at + offset));
        claim(now == before, call, at, "bytes of adopted memory changed")
    };
    stays(Call::Adopt)?;
    claim(bench.memory.unmap(extent).is_err(), Call::Unmap, extent.start(), "adopted memory was unmapped")?;
    for other in ALL_RIGHTS.into_iter().filter(|other| *other != protection) {
        let refused = bench.memory.protect(extent, other).is_err();
        claim(refused, Call::Protect, extent.start(), "rights of adopted memory changed")?;
    }
    stays(Call::Protect)?;
    let access = if protection.is_writable() { Access::Store } else { Access::Poke };
    bench.write(access, at, &[0x5a; 4])?;
    claim(bench.load(at) == Some(0x5a) && bench.read(at) == Some(0x5a), by(access), at, "a byte did not arrive")?;
    bench.write(access, at, &before.map(Option::unwrap_or_default))?;
    stays(by(access))
}
