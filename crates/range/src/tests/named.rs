//! Single behaviours, each named after what would go wrong.

use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::{Arena, Error, Fit, Ledger, Request};

fn arena(len: u64) -> Arena {
    let mut arena = Arena::new(6).expect("quantum");
    arena.add(0..len).expect("span");
    arena
}

#[test]
fn alloc_when_the_fit_at_the_window_end_is_exact_then_succeeds() {
    let mut arena = arena(0x10000);
    let request = Request::new(0x400).within(0x1000..0x1400);
    assert_eq!(arena.alloc(&request), Ok(0x1000..0x1400));
    assert!(matches!(arena.alloc(&request), Err(Error::Exhausted { .. })));
}

#[test]
fn alloc_when_a_hole_begins_below_the_window_then_carves_its_middle() {
    let mut arena = arena(0x10000);
    let lowest = Request::new(0x100).within(0x4000..0x5000).placed(Fit::Lowest);
    assert_eq!(arena.alloc(&lowest), Ok(0x4000..0x4100));
    assert_eq!(arena.alloc(&lowest.placed(Fit::Highest)), Ok(0x4f00..0x5000));
    assert_eq!(arena.holes().collect::<Vec<_>>(), [0..0x4000, 0x4100..0x4f00, 0x5000..0x10000]);
}

#[test]
fn alloc_when_aligned_then_small_holes_before_it_are_not_padded() {
    let mut arena = arena(0x10000);
    arena.alloc(&Request::new(0x40)).expect("pin");
    assert_eq!(arena.alloc(&Request::new(0x1000).aligned(0x1000)), Ok(0x1000..0x2000));
    assert_eq!(arena.alloc(&Request::new(0xfc0)), Ok(0x40..0x1000));
}

#[test]
fn alloc_when_every_hole_is_long_enough_and_one_is_aligned_then_finds_it() {
    let mut arena = arena(0x20_0000);
    let mut bodies = Vec::new();
    for _ in 0..100 {
        arena.alloc(&Request::new(0x40)).expect("pin");
        bodies.push(arena.alloc(&Request::new(0x1fc0)).expect("body"));
    }
    arena.alloc(&Request::new(0x20_0000 - 100 * 0x2000)).expect("rest");
    for body in &bodies {
        arena.free(body.start).expect("live");
    }
    let whole = Request::new(0x1000).aligned(0x2000);
    assert!(matches!(arena.alloc(&whole), Err(Error::Exhausted { .. })));
    let last = arena.alloc(&Request::new(0x1000).aligned(0x1000)).expect("each body holds one");
    assert_eq!(last.start % 0x1000, 0);
}

#[test]
fn alloc_when_long_requests_are_many_then_takes_the_tightest() {
    let mut arena = arena(0x100_0000);
    let holes: Vec<_> = [0x6_0000_u64, 0x5_0000, 0x5_1000, 0x8_0000]
        .map(|len| {
            let range = arena.alloc(&Request::new(len)).expect("room");
            arena.alloc(&Request::new(0x40)).expect("pin");
            range
        })
        .into();
    holes.iter().for_each(|hole| drop(arena.free(hole.start)));
    assert_eq!(arena.alloc(&Request::new(0x5_0800)).map(|range| range.start), Ok(holes[2].start));
}

#[test]
fn free_when_the_position_is_wrong_then_nothing_changes() {
    let mut arena = arena(0x10000);
    let range = arena.alloc(&Request::new(0x200)).expect("room");
    for at in [range.start + 1, range.start + 0x40, range.end, 0x10000, u64::MAX] {
        assert_eq!(arena.free(at), Err(Error::NotLive { at }));
    }
    arena.free(range.start).expect("live");
    assert_eq!(arena.free(range.start), Err(Error::NotLive { at: range.start }));
    assert_eq!(arena.audit().expect("audit").free_len, 0x10000);
}

#[test]
fn find_when_the_position_is_between_spans_then_finds_nothing() {
    let mut arena = arena(0x1000);
    arena.add(0x2000..0x3000).expect("span");
    arena.alloc(&Request::new(0x1000)).expect("room");
    assert_eq!(arena.find(0xfff), Some(0..0x1000));
    assert_eq!(arena.find(0x1000), None);
    assert_eq!(arena.find(0x1fff), None);
    assert_eq!(arena.find(0x2000), None);
    assert_eq!(arena.find(u64::MAX), None);
}

#[test]
fn add_when_spans_touch_then_a_range_may_lie_across() {
    let mut arena = arena(0x1000);
    arena.add(0x1000..0x2000).expect("span");
    assert_eq!(arena.alloc(&Request::new(0x1800)), Ok(0..0x1800));
    assert_eq!(arena.add(0x1f00..0x2100), Err(Error::Overlap { start: 0x1f00, end: 0x2100 }));
}

#[test]
fn remove_when_the_middle_of_a_hole_goes_then_both_sides_stay() {
    let mut arena = arena(0x3000);
    arena.remove(0x1000..0x2000).expect("free");
    assert_eq!(arena.spans().collect::<Vec<_>>(), [0..0x1000, 0x2000..0x3000]);
    assert_eq!(arena.remove(0x1000..0x2000), Err(Error::NotFree { start: 0x1000, len: 0x1000 }));
    arena.add(0x1000..0x2000).expect("unmanaged");
    assert!(arena.holes().eq(core::iter::once(0..0x3000)));
}

#[test]
fn space_when_it_ends_at_the_last_quantum_then_is_usable() {
    let mut arena = Arena::new(12).expect("quantum");
    let limit = arena.limit();
    arena.add(limit - 0x2000..limit).expect("span");
    assert_eq!(arena.alloc(&Request::new(0x2000)), Ok(limit - 0x2000..limit));
    assert!(matches!(arena.add(limit..limit + 0x1000), Err(Error::TooLarge { .. })));
}

#[test]
fn requests_that_make_no_sense_are_named() {
    let mut arena = arena(0x1000);
    assert_eq!(arena.alloc(&Request::new(0)), Err(Error::ZeroLength));
    assert_eq!(arena.alloc(&Request::new(64).aligned(96)), Err(Error::BadAlignment { align: 96 }));
    assert_eq!(arena.alloc(&Request::new(64).aligned(0)), Err(Error::BadAlignment { align: 0 }));
    assert!(matches!(arena.alloc(&Request::new(u64::MAX)), Err(Error::TooLarge { .. })));
    assert!(matches!(arena.alloc(&Request::new(64).aligned(1 << 60)), Err(Error::TooLarge { .. })));
    assert_eq!(arena.alloc_at(1..64), Err(Error::NotQuantized { value: 1, quantum: 64 }));
    assert!(matches!(Arena::new(33), Err(Error::TooLarge { .. })));
}

#[test]
fn ready_ranges_when_the_rest_is_exhausted_then_are_merged_and_used() {
    let mut arena = arena(0x1000).keeping_ready(0).expect("memory");
    let ranges: Vec<_> = (0..64).map(|_| arena.alloc(&Request::new(64)).expect("room").start).collect();
    ranges[..32].iter().for_each(|&start| drop(arena.free(start)));
    assert!(arena.audit().expect("audit").ready_ranges > 1);
    assert_eq!(arena.alloc(&Request::new(0x800)), Ok(0..0x800));
}

#[test]
fn ready_ranges_when_the_rest_is_freed_then_are_more_than_their_share() {
    let mut arena = arena(0x10_0000).keeping_ready(2).expect("memory");
    let starts: Vec<_> = (0..1000).map(|_| arena.alloc(&Request::new(64)).expect("room").start).collect();
    for &start in &starts {
        arena.free(start).expect("live");
        for _ in 0..2 {
            if arena.has_excess_ready() {
                arena.settle_one().expect("one of the excess");
            }
        }
    }
    assert_eq!(arena.audit().expect("audit").ready_ranges, 0);
    assert!(arena.holes().eq(core::iter::once(0..0x10_0000)));
}

#[test]
fn find_when_a_range_is_long_then_its_end_is_known() {
    let mut arena = arena(0x100_0000);
    for len in [0x40, 0x7c0, 0x800, 0x840, 0x2_0000, 0x40_0000, 0x10_0000] {
        let range = arena.alloc(&Request::new(len)).expect("room");
        for at in [range.start, range.start + len / 2, range.end - 1] {
            assert_eq!(arena.find(at), Some(range.clone()), "{at:#x}");
        }
    }
    assert_eq!(arena.find(0xff_ffff), None);
}

#[test]
fn find_when_a_range_is_tagged_then_tells_the_tag_until_it_is_freed() {
    let mut arena = arena(0x10_0000);
    let tagged = |tag| Request::new(0x300).tagged(tag);
    let ranges = [0, 1, 0xf_ffff].map(|tag| (arena.alloc(&tagged(tag)).expect("room"), tag));
    for (range, tag) in &ranges {
        let found = arena.ledger().find(range.end - 1).expect("live");
        assert_eq!((&found.range, found.tag), (range, *tag));
        arena.free(range.start).expect("live");
        assert_eq!(arena.ledger().find(range.start), None);
    }
    assert_eq!(arena.alloc(&tagged(0x10_0000)), Err(Error::BadTag { tag: 0x10_0000, bits: 20 }));
    assert_eq!(arena.audit().expect("audit").free_len, 0x10_0000);
}

#[test]
fn split_when_a_range_is_tagged_then_both_parts_are() {
    let mut arena = arena(0x10_0000);
    let range = arena.alloc(&Request::new(0x2000).tagged(7)).expect("room");
    let parts = arena.split(range.start, 0x1800).expect("inside");
    arena.truncate(parts[0].start, 0x100).expect("shorter");
    for (at, end) in [(parts[0].start, parts[0].start + 0x100), (parts[1].start, range.end)] {
        let found = arena.ledger().find(at).expect("live");
        assert_eq!((found.range, found.tag), (at..end, 7));
    }
}

#[test]
fn split_when_one_place_for_an_entry_is_left_then_both_parts_get_theirs() {
    for others in 0..64 {
        let mut arena = arena(0x10_0000);
        let quantum = arena.quantum();
        let plain = arena.alloc(&Request::new(3 * quantum)).expect("room");
        for tag in 1..=others {
            arena.alloc(&Request::new(quantum).tagged(tag)).expect("room");
        }
        // While it is cut, the first part has an entry; the second, of one quantum, keeps its own.
        for part in arena.split(plain.start, 2 * quantum).expect("inside") {
            assert_eq!(arena.ledger().find(part.start).map(|found| found.range), Some(part));
        }
    }
}

#[test]
fn avoid_when_there_is_room_elsewhere_then_nothing_goes_there() {
    let mut arena = arena(0x4000);
    let low = arena.alloc(&Request::new(0x800)).expect("room");
    arena.alloc(&Request::new(0x800)).expect("room");
    arena.free(low.start).expect("live");
    arena.avoid(Some(0..0x1000)).expect("range");
    arena.audit().expect("audit");
    assert_eq!(arena.alloc(&Request::new(0x800)), Ok(0x1000..0x1800));
    arena.avoid(Some(0x1000..0x4000)).expect("range");
    arena.audit().expect("audit");
    assert_eq!(arena.alloc(&Request::new(0x800)), Ok(0..0x800));
    assert_eq!(arena.alloc(&Request::new(0x800)), Ok(0x1800..0x2000), "avoided is not forbidden");
    arena.avoid(None).expect("range");
    assert_eq!(arena.audit().expect("audit").holes, 1);
}

#[test]
fn free_when_the_range_is_of_another_arena_of_the_ledger_then_it_is_foreign() {
    let page = crate::PAGE_QUANTA;
    let ledger = Arc::new(Ledger::new(0, 4 * page).expect("memory"));
    let [mut one, mut two] = [0, 1].map(|number| {
        let mut arena = Arena::over(Arc::clone(&ledger));
        arena.add(number * page..(number + 1) * page).expect("span");
        arena
    });
    let last = one.alloc(&Request::new(page)).expect("room");
    let first = two.alloc(&Request::new(10)).expect("room");
    assert_eq!(one.free(first.start), Err(Error::NotLive { at: first.start }));
    assert_eq!(one.find(first.start), None);
    for range in [last, first] {
        assert_eq!(ledger.find(range.end - 1).map(|found| found.range), Some(range));
    }
    one.free(0).expect("live");
    two.free(page).expect("live");
    assert_eq!(one.audit().expect("audit").free_len + two.audit().expect("audit").free_len, 2 * page);
}

#[test]
fn tightest_hole_when_asked_for_then_tells_what_alloc_would_cut() {
    let mut arena = arena(0x10000);
    for range in [0x400..0x1000, 0x1800..0x2000] {
        arena.alloc_at(range).expect("free");
    }
    let asked = [1, 0x400, 0x401, 0x800, 0x801, 0xe001].map(|len| arena.tightest_hole(len));
    assert_eq!(asked, [Some(0x400), Some(0x400), Some(0x800), Some(0x800), Some(0xe000), None]);
    assert_eq!(arena.tightest_hole(u64::MAX), None);
    assert_eq!(arena.alloc(&Request::new(0x401)), Ok(0x1000..0x1440));
}
