//! Which hole serves a request: holes by size, where a list has one length, several, or all that are longer.

use alloc::vec::Vec;

use super::{alloc, arena};

#[test]
fn tightest_hole_when_asked_for_then_tells_what_alloc_would_cut() {
    let mut arena = arena(0x10000);
    for len in [0x400, 0xc00, 0x800, 0x800] {
        alloc(&mut arena, len);
    }
    for hole in [0, 0x1000] {
        arena.free(hole).expect("live");
    }
    let asked = [1, 0x400, 0x401, 0x800, 0x801, 0xe001].map(|len| arena.tightest_hole(len));
    assert_eq!(asked, [Some(0x400), Some(0x400), Some(0x800), Some(0x800), Some(0xe000), None]);
    assert_eq!(arena.tightest_hole(u64::MAX), None);
    assert_eq!(alloc(&mut arena, 0x401), 0x1000);
}

#[test]
fn hole_when_it_is_shorter_than_others_of_its_list_then_a_longer_list_serves() {
    let mut arena = arena(0x40_0000);
    // Two holes of nearly the length asked for, and the rest of the space.
    let starts = [0x1_0000, 0x40, 0x1_0040, 0x40].map(|len| alloc(&mut arena, len));
    for hole in [0, 2] {
        arena.free(starts[hole]).expect("live");
    }
    let rest = starts[3] + 0x40;
    for len in [0x1_0080, 0x1_00c0, 0x1_0100] {
        let start = alloc(&mut arena, len);
        assert!(start >= rest, "{len:#x} at {start:#x}");
        arena.free(start).expect("live");
    }
    assert_eq!(alloc(&mut arena, 0x1_0040), starts[2]);
    assert_eq!(alloc(&mut arena, 0x1_0000), starts[0]);
    arena.audit().expect("audit");
}

#[test]
fn hole_when_it_is_longer_than_any_list_is_for_then_the_last_list_has_it() {
    let long = 0x40 << 23;
    let mut arena = arena(4 * long);
    // So many that lists are as fine as they get, of which there are not enough for the longest holes then.
    let starts: Vec<_> = (0..5_000).map(|_| alloc(&mut arena, 0x40)).collect();
    for start in starts.iter().step_by(2) {
        arena.free(*start).expect("live");
    }
    let places = [long, 0x40, long + 0x40].map(|len| alloc(&mut arena, len));
    for hole in [0, 2] {
        arena.free(places[hole]).expect("live");
    }
    arena.audit().expect("audit");
    assert_eq!(alloc(&mut arena, long), places[0]);
    assert_eq!(arena.largest_hole(), 4 * long - places[2]);
    arena.audit().expect("audit");
}
