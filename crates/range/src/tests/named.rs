//! Single behaviours, each named after what would go wrong.

use alloc::sync::Arc;
use alloc::vec::Vec;

use super::alone::Alone;
use super::{alloc, arena, live};
use crate::live_map::MAX_QUANTA;
use crate::{Error, Freed, LiveMap};

/// Length of the holes that serve requests, after an audit.
fn audited(arena: &Alone) -> u64 {
    arena.audit().expect("audit");
    arena.free_len()
}

/// Allocates at a multiple of `align`.
fn aligned(arena: &mut Alone, len: u64, align: u64) -> Option<u64> {
    arena.try_alloc(len, align, 0).expect("a good request")
}

/// Allocates with a tag.
fn tagged(arena: &mut Alone, len: u64, tag: u32) -> u64 {
    arena.try_alloc(len, 1, tag).expect("a good request").expect("room")
}

#[test]
fn alloc_when_aligned_then_small_holes_before_it_are_not_padded() {
    let mut arena = arena(0x10000);
    alloc(&mut arena, 0x40);
    assert_eq!(aligned(&mut arena, 0x1000, 0x1000), Some(0x1000));
    assert_eq!(alloc(&mut arena, 0xfc0), 0x40);
}

#[test]
fn alloc_when_every_hole_is_long_enough_and_one_is_aligned_then_finds_it() {
    let mut arena = arena(0x20_0000);
    let mut bodies = Vec::new();
    for _ in 0..100 {
        alloc(&mut arena, 0x40);
        bodies.push(alloc(&mut arena, 0x1fc0));
    }
    alloc(&mut arena, 0x20_0000 - 100 * 0x2000);
    for body in &bodies {
        arena.free(*body).expect("live");
    }
    assert_eq!(aligned(&mut arena, 0x1000, 0x2000), None);
    let last = aligned(&mut arena, 0x1000, 0x1000).expect("each body holds one");
    assert_eq!(last % 0x1000, 0);
}

#[test]
fn alloc_when_long_requests_are_many_then_takes_the_tightest() {
    let mut arena = arena(0x100_0000);
    let holes: Vec<_> = [0x6_0000_u64, 0x5_0000, 0x5_1000, 0x8_0000]
        .map(|len| {
            let start = alloc(&mut arena, len);
            alloc(&mut arena, 0x40);
            start
        })
        .into();
    for hole in &holes {
        arena.free(*hole).expect("live");
    }
    assert_eq!(alloc(&mut arena, 0x5_0800), holes[2]);
}

#[test]
fn free_when_the_position_is_wrong_then_nothing_changes() {
    let mut arena = arena(0x10000);
    let start = alloc(&mut arena, 0x200);
    for at in [start + 1, start + 0x40, start + 0x200, 0x10000, u64::MAX] {
        assert_eq!(arena.free(at), Err(Error::NotLive(at)));
    }
    assert_eq!(arena.free(start), Ok(Freed { len: 0x200, hole_len: 0x10000 }));
    assert_eq!(arena.free(start), Err(Error::NotLive(start)));
    assert_eq!(audited(&arena), 0x10000);
}

#[test]
fn find_when_the_position_is_between_spans_then_finds_nothing() {
    let mut arena = arena(0x1000);
    arena.add(0x2000..0x3000).expect("span");
    alloc(&mut arena, 0x1000);
    let find = |at| arena.map().find(at).map(|found| found.range);
    assert_eq!(find(0xfff), Some(0..0x1000));
    for at in [0x1000, 0x1fff, 0x2000, u64::MAX] {
        assert_eq!(find(at), None);
    }
}

#[test]
fn add_when_spans_touch_then_a_range_may_lie_across() {
    let mut arena = arena(0x1000);
    arena.add(0x1000..0x2000).expect("span");
    assert_eq!(alloc(&mut arena, 0x1800), 0);
    assert_eq!(arena.add(0x1f00..0x2100), Err(Error::Overlap(0x1f00)));
    assert_eq!(arena.add(0x40..0x80), Err(Error::Overlap(0x40)));
    assert!(arena.spans().eq(core::iter::once(0..0x2000)));
}

#[test]
fn remove_when_the_middle_of_a_hole_goes_then_both_sides_stay() {
    let mut arena = arena(0x3000);
    arena.remove(0x1000..0x2000).expect("free");
    assert!(arena.spans().eq([0..0x1000, 0x2000..0x3000]));
    assert_eq!(arena.remove(0x1000..0x2000), Err(Error::NotFree(0x1000)));
    arena.add(0x1000..0x2000).expect("unmanaged");
    assert!(arena.holes_unordered().eq(core::iter::once(0..0x3000)));
}

#[test]
fn space_when_it_ends_at_the_last_quantum_then_is_usable() {
    let mut arena = Alone::new(12).expect("quantum");
    let limit = arena.limit();
    arena.add(limit - 0x2000..limit).expect("span");
    assert_eq!(alloc(&mut arena, 0x2000), limit - 0x2000);
    assert!(matches!(arena.add(limit..limit + 0x1000), Err(Error::TooLarge(_))));
    arena.free(limit - 0x2000).expect("live");
    assert_eq!(audited(&arena), 0x2000);
}

#[test]
fn requests_that_make_no_sense_are_named() {
    let mut arena = arena(0x1000);
    assert_eq!(arena.try_alloc(0, 1, 0), Err(Error::ZeroLength));
    assert_eq!(arena.try_alloc(64, 96, 0), Err(Error::BadAlignment(96)));
    assert_eq!(arena.try_alloc(64, 0, 0), Err(Error::BadAlignment(0)));
    assert!(matches!(arena.try_alloc(u64::MAX, 1, 0), Err(Error::TooLarge(_))));
    assert!(matches!(arena.try_alloc(64, 1 << 63, 0), Err(Error::TooLarge(_))));
    // One more than the most quanta that there can be.
    let most = u64::from(MAX_QUANTA) << 6;
    assert_eq!(arena.try_alloc(most, 1, 0), Ok(None));
    assert_eq!(arena.try_alloc(most + 1, 1, 0), Err(Error::TooLarge(most + 1)));
    assert_eq!(arena.try_alloc(64, 1 << 37, 0), Err(Error::TooLarge(1 << 37)));
    assert_eq!(aligned(&mut arena, 64, 1 << 36), Some(0));
    assert_eq!(arena.add(0x2001..0x3000), Err(Error::NotQuantized(0x2001)));
    assert_eq!(arena.add(0x3000..0x3000), Err(Error::ZeroLength));
    assert!(matches!(Alone::new(33), Err(Error::TooLarge(_))));
    assert_eq!(aligned(&mut arena, 0x1001, 1), None);
}

#[test]
fn split_when_the_cut_divides_nothing_then_is_refused() {
    let mut arena = arena(0x10000);
    let start = alloc(&mut arena, 0x200);
    assert_eq!(arena.split(start, 0), Err(Error::ZeroLength));
    assert_eq!(arena.split(start, 0x1c1), Err(Error::BadCut(start + 0x200)));
    assert_eq!(arena.split(start + 0x40, 0x40), Err(Error::NotLive(start + 0x40)));
    assert_eq!(arena.split(start, 0x41), Ok(start + 0x80..start + 0x200));
    assert_eq!(arena.free(start), Ok(Freed { len: 0x80, hole_len: 0x80 }));
}

#[test]
fn find_when_ranges_have_any_length_and_tag_then_tells_both() {
    let mut arena = arena(0x100_0000);
    for (len, tag) in [(0x40, 0), (0x40, 1), (0x40, 0x1f_ffff), (0x10_0000, 0), (0x80_0000, 3), (0x40, 0)] {
        let start = tagged(&mut arena, len, tag);
        for at in [start, start + len / 2, start + len - 1] {
            let found = arena.map().find(at).expect("live");
            assert_eq!((found.range, found.tag), (start..start + len, tag));
        }
    }
    let starts: Vec<_> = live(&arena).iter().map(|range| range.start).collect();
    for start in starts {
        arena.free(start).expect("live");
        assert_eq!(arena.map().find(start), None);
    }
    let mut fresh = Alone::new(6).expect("memory");
    fresh.add(0..0x1000).expect("span");
    for tag in [0x20_0000, 0x20_0003, u32::MAX] {
        for arena in [&mut arena, &mut fresh] {
            assert_eq!(arena.try_alloc(128, 1, tag), Err(Error::BadTag(tag)));
        }
    }
    assert_eq!(audited(&arena), 0x100_0000);
}

#[test]
fn split_when_a_range_is_tagged_then_both_parts_are() {
    let mut arena = arena(0x10_0000);
    let start = tagged(&mut arena, 0x2000, 7);
    let other = tagged(&mut arena, 0x2000, 8);
    for (start, tag) in [(start, 7), (other, 8)] {
        let cut = arena.split(start, 0x1800).expect("inside").start;
        for (at, end) in [(start, cut), (cut, start + 0x2000)] {
            let found = arena.map().find(at).expect("live");
            assert_eq!((found.range, found.tag), (at..end, tag));
        }
    }
}

#[test]
fn split_when_one_place_for_an_entry_is_left_then_both_parts_get_theirs() {
    for others in 0..64 {
        let mut arena = arena(0x10_0000);
        let quantum = arena.quantum();
        let start = alloc(&mut arena, 3 * quantum);
        for tag in 1..=others {
            tagged(&mut arena, quantum, tag);
        }
        // While it is cut, the first part has an entry; the second, of one quantum, keeps its own.
        let cut = arena.split(start, 2 * quantum).expect("inside").start;
        for part in [start..cut, cut..start + 3 * quantum] {
            assert_eq!(arena.map().find(part.start).map(|found| found.range), Some(part));
        }
    }
}

#[test]
fn drain_when_there_is_room_elsewhere_then_nothing_goes_there() {
    let mut arena = arena(0x4000);
    let low = alloc(&mut arena, 0x800);
    alloc(&mut arena, 0x800);
    arena.free(low).expect("live");
    arena.prepare_and_drain(Some(0..0x1000)).expect("range");
    arena.audit().expect("audit");
    assert_eq!(alloc(&mut arena, 0x800), 0x1000);
    arena.prepare_and_drain(Some(0x1000..0x4000)).expect("range");
    arena.audit().expect("audit");
    assert_eq!(alloc(&mut arena, 0x800), 0);
    assert_eq!(alloc(&mut arena, 0x800), 0x1800, "draining is not forbidden");
    arena.prepare_and_drain(None).expect("range");
    assert_eq!((audited(&arena), arena.hole_count()), (0x2000, 1));
}

#[test]
fn free_when_the_range_is_of_another_arena_of_the_map_then_it_is_foreign() {
    let page = crate::PAGE_QUANTA;
    let map = Arc::new(LiveMap::new(0, 4 * page).expect("memory"));
    let [mut one, mut two] = [0, 1].map(|number| {
        let mut arena = Alone::over(&map);
        arena.add(number * page..(number + 1) * page).expect("span");
        arena
    });
    let last = alloc(&mut one, page);
    let first = alloc(&mut two, 10);
    assert_eq!(one.free(first), Err(Error::NotLive(first)));
    for range in [last..last + page, first..first + 10] {
        assert_eq!(map.find(range.end - 1).map(|found| found.range), Some(range));
    }
    assert_eq!(one.add(page + 20..page + 30), Err(Error::SharedPage(page + 20)));
    one.free(0).expect("live");
    two.free(page).expect("live");
    assert_eq!(audited(&one) + audited(&two), 2 * page);
}

#[test]
fn page_when_its_arena_left_it_then_another_one_may_have_it() {
    let page = crate::PAGE_QUANTA;
    let map = Arc::new(LiveMap::new(0, 4 * page).expect("memory"));
    let mut arenas = [0, 1].map(|_| Alone::over(&map));
    for number in [0, 1, 0] {
        let arena = &mut arenas[number];
        arena.add(page..2 * page).expect("no other arena is there");
        let start = alloc(arena, page / 2);
        arena.free(start).expect("live");
        arena.remove(page..2 * page).expect("free");
        arena.audit().expect("audit");
    }
    let (used, idle) = map.bookkeeping_bytes();
    assert!(idle > 0 && idle < used);
    drop(arenas);
    let mut map = Arc::into_inner(map).expect("no arena has it");
    map.trim();
    assert!(map.bookkeeping_bytes().0 < used - idle);
}

#[test]
fn hole_when_it_is_withheld_then_serves_nothing_until_released() {
    let mut arena = arena(0x1000);
    let starts = [0x400, 0x400, 0x800].map(|len| alloc(&mut arena, len));
    assert_eq!(arena.free_withheld(starts[0]), Ok(Freed { len: 0x400, hole_len: 0 }));
    assert_eq!(aligned(&mut arena, 0x40, 1), None);
    assert_eq!(
        arena.free(starts[1]),
        Ok(Freed { len: 0x400, hole_len: 0x400 }),
        "it does not merge with a withheld one"
    );
    assert_eq!((audited(&arena), arena.largest_hole()), (0x400, 0x400));
    assert!(arena.hole_at(0).is_none() && arena.remove(0..0x800).is_err());
    assert_eq!(arena.release(0x400), Err(Error::NotWithheld(0x400)));
    assert!(arena.withheld().eq(core::iter::once(0..0x400)));
    assert_eq!(arena.release(0), Ok(0x800), "now it does");
    assert_eq!(arena.release(0), Err(Error::NotWithheld(0)));
    assert_eq!(aligned(&mut arena, 0x800, 1), Some(0));
}

#[test]
fn hole_when_records_run_out_then_a_withheld_one_takes_in_what_it_touches() {
    for order in 0..3 {
        let mut arena = arena(0x40 * 3000);
        let mut starts: Vec<_> = (0..3000).map(|_| alloc(&mut arena, 0x40)).collect();
        match order {
            0 => {}
            1 => starts.reverse(),
            _ => starts.sort_by_key(|start| (start / 0x40 * 7919) % 3001),
        }
        super::refusals::refuse_after(0);
        for start in &starts {
            // Every third is withheld, so that there are more holes than live ranges leave room for.
            let is_withheld = start / 0x40 % 3 == 0;
            if is_withheld { arena.free_withheld(*start) } else { arena.free(*start) }.expect("live");
            if start % 0x1000 == 0 {
                audited(&arena);
            }
        }
        let withheld: u64 = arena.withheld().map(|hole| hole.end - hole.start).sum();
        assert!(withheld >= 0x40 * 1000 && audited(&arena) + withheld == 0x40 * 3000);
        super::release_all(&mut arena);
        super::refusals::stop();
        assert_eq!((audited(&arena), arena.hole_count()), (0x40 * 3000, 1));
    }
}

#[test]
fn trim_when_most_is_gone_then_gives_the_bookkeeping_back() {
    let mut arena = arena(0x100_0000);
    let few = arena.bookkeeping_bytes();
    let starts: Vec<_> = (0..50_000).map(|_| alloc(&mut arena, 0x80)).collect();
    for start in starts.iter().step_by(2) {
        arena.free(*start).expect("live");
    }
    assert!(arena.bookkeeping_bytes() > 200 * few);
    for start in starts.iter().skip(1).step_by(2).filter(|start| **start != starts[25_001]) {
        arena.free(*start).expect("live");
    }
    arena.trim();
    assert!(arena.bookkeeping_bytes() < 10 * few, "{} of {few}", arena.bookkeeping_bytes());
    assert_eq!((audited(&arena), arena.hole_count()), (0x100_0000 - 0x80, 2));
    arena.free(starts[25_001]).expect("live");
    arena.remove(0..0x100_0000).expect("free");
    arena.trim();
    assert_eq!(arena.bookkeeping_bytes(), 0);
}

#[test]
fn free_when_in_order_of_address_then_one_hole_grows_over_pages() {
    let mut arena = arena(0x10_0000);
    let starts: Vec<_> = (0..0x10_0000 / 0x40).map(|_| alloc(&mut arena, 0x40)).collect();
    let (last, first) = starts.split_last().expect("some");
    for (number, start) in (1..).zip(first) {
        assert_eq!(arena.free(*start), Ok(Freed { len: 0x40, hole_len: number * 0x40 }));
        assert_eq!(arena.hole_at(*start), Some(0..number * 0x40));
    }
    // Taken from its begin, the hole is another one; what grew is used up.
    assert_eq!(alloc(&mut arena, *last - 0x40), 0);
    assert_eq!(arena.hole_at(0), None);
    assert_eq!(arena.free(*last).map(|freed| freed.hole_len), Ok(0x80));
    assert_eq!(audited(&arena), 0x80);
}

#[test]
fn lengths_are_in_units_of_positions_and_what_is_withheld_is_told() {
    let mut arena = arena(0x1000);
    let start = alloc(&mut arena, 0xc0);
    assert_eq!((arena.live_len(), arena.withholds()), (0xc0, false));
    arena.free_withheld(start).expect("live");
    assert_eq!((arena.live_len(), arena.withholds(), arena.free_len()), (0, true, 0xf40));
    assert_eq!(arena.release(start), Ok(0x1000));
    assert_eq!((audited(&arena), arena.withholds()), (0x1000, false));
}

#[test]
fn drain_when_not_prepared_is_an_error_and_changes_nothing() {
    let mut arena = arena(0x1000);
    alloc(&mut arena, 0x40);
    assert_eq!(arena.drain(Some(0..0x800)), Err(Error::NotPrepared));
    assert_eq!((alloc(&mut arena, 0x40), audited(&arena)), (0x40, 0xf80));
    arena.prepare_and_drain(Some(0..0x800)).expect("memory");
    assert_eq!((alloc(&mut arena, 0x40), audited(&arena)), (0x80, 0xf40));
}
