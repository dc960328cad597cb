//! Where a window goes: a random place from which a direct call reaches an anchor.
//!
//! Pure arithmetic; the caller that maps there asks the kernel to refuse what is in use.

use execmem_types::{Extent, Reach};

use crate::host::LARGE;
use crate::proc::Area;

/// Nothing is placed below: the kernel keeps the first pages unmapped (`vm.mmap_min_addr`), and null pointers with an
/// offset should fault.
const LOWEST: u64 = 1 << 20;

/// Left free below a stack, which grows down.
const STACK_ROOM: u64 = 64 << 20;

/// Places at which a window may start: multiples of 2 MiB, the first and how many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Places {
    first: u64,
    pub(crate) count: u64,
}

impl Places {
    /// The places between two addresses, both included. `None` if there is none.
    fn between(low: u64, high: u64) -> Option<Self> {
        let first = LARGE.round_up(low)?;
        let count = high.checked_sub(first)? / LARGE.bytes() + 1;
        Some(Places { first, count })
    }

    /// One of them.
    pub(crate) const fn nth(self, index: u64) -> u64 {
        self.first + index * LARGE.bytes()
    }
}

/// Where windows of `len` bytes may start so that a direct call reaches all of `anchor` from them and back: below it, and
/// above it beyond the room that the heap of a program has behind its end.
pub(crate) fn within_reach(anchor: Extent, len: u64, reach: Reach) -> [Option<Places>; 2] {
    let forward = forward(reach);
    let connects = |start: u64| Extent::new(start, len).is_some_and(|window| reach.connects(anchor, window));
    // The first estimate is a few units off; what is beyond reach is cut away.
    let trimmed = |low: u64, high: u64| {
        let mut places = Places::between(low, high)?;
        while places.count > 0 && !connects(places.first) {
            places = Places { first: places.first + LARGE.bytes(), count: places.count - 1 };
        }
        while places.count > 0 && !connects(places.nth(places.count - 1)) {
            places.count -= 1;
        }
        Some(places).filter(|places| places.count > 0)
    };
    let end = u64::try_from(anchor.end()).unwrap_or(u64::MAX);
    let below = anchor.start().checked_sub(len).and_then(|high| {
        let low = end.saturating_sub(forward).saturating_sub(LARGE.bytes()).max(LOWEST);
        trimmed(low, high)
    });
    let high = anchor.start().saturating_add(forward).saturating_sub(len);
    [below, trimmed(end.saturating_add(forward / 4), high)]
}

/// The same places as far as nothing is mapped there, heap room or not.
pub(crate) fn free_within_reach(areas: &[Area], anchor: Extent, len: u64, reach: Reach) -> Vec<Places> {
    let forward = forward(reach);
    let end = u64::try_from(anchor.end()).unwrap_or(u64::MAX);
    let (lowest, highest) = (end.saturating_sub(forward), anchor.start().saturating_add(forward));
    let fits = |places: &Places| {
        let window = |start| Extent::new(start, len).is_some_and(|window| reach.connects(anchor, window));
        window(places.first) && window(places.nth(places.count - 1))
    };
    let in_gap = |gap: Extent| {
        let end = u64::try_from(gap.end()).unwrap_or(u64::MAX).min(highest);
        Places::between(gap.start().max(lowest), end.checked_sub(len)?)
    };
    gaps(areas).into_iter().filter_map(in_gap).filter(fits).collect()
}

/// How far forward from an address a window may end at most.
pub(crate) const fn forward(reach: Reach) -> u64 {
    match reach {
        Reach::Relative { min, max, .. } => {
            let (min, max) = (min.unsigned_abs(), max.unsigned_abs());
            if min < max { min } else { max }
        }
        Reach::Segment { size_log2, .. } => 1 << size_log2,
    }
}

/// What lies between mappings, lowest first.
fn gaps(areas: &[Area]) -> Vec<Extent> {
    let mut gaps = Vec::new();
    let mut free_from = LOWEST;
    for area in areas {
        let room = if area.name == "[stack]" { STACK_ROOM } else { 0 };
        gaps.extend(Extent::between(free_from, area.extent.start().saturating_sub(room).into()));
        free_from = u64::try_from(area.extent.end()).unwrap_or(u64::MAX).max(free_from);
    }
    gaps
}

#[cfg(test)]
mod tests {
    use super::*;

    const REL32: Reach = Reach::Relative { base: 5, min: i32::MIN as i64, max: i32::MAX as i64 };
    const PROGRAM: u64 = 0x5555_5540_0000;

    fn area(start: u64, end: u64, name: &str) -> Area {
        Area::of(Extent::between(start, end.into()).expect("area"), name)
    }

    fn anchor() -> Extent {
        Extent::new(PROGRAM, 10 << 20).expect("a program")
    }

    #[test]
    fn a_window_goes_anywhere_within_reach_below_and_beyond_the_heap_above() {
        for len in [2 << 20, 64 << 20, 1 << 30] {
            let [below, above] = within_reach(anchor(), len, REL32).map(|places| places.expect("room"));
            for (places, lowest, highest) in
                [(below, PROGRAM - (1 << 31), PROGRAM - len), (above, PROGRAM + (1 << 29), PROGRAM + (1 << 31) - len)]
            {
                let ends = [places.nth(0), places.nth(places.count - 1)];
                for start in ends {
                    let window = Extent::new(start, len).expect("window");
                    assert!(REL32.connects(anchor(), window) && start.is_multiple_of(LARGE.bytes()));
                }
                assert!(ends[0] >= lowest && ends[1] <= highest && highest - ends[1] <= 4 << 20);
            }
            assert!(below.count * LARGE.bytes() + len >= (2 << 30) - (16 << 20), "all of the reach");
        }
        assert_eq!(within_reach(anchor(), 2 << 30, REL32), [None, None], "nothing that long is in reach at both ends");
    }

    #[test]
    fn a_program_at_the_bottom_gets_a_window_above() {
        let anchor = Extent::new(0x40_0000, 1 << 20).expect("a program");
        let [below, above] = within_reach(anchor, 1 << 30, REL32);
        assert!(below.is_none() && above.is_some_and(|places| places.nth(0) > 0x50_0000));
    }

    #[test]
    fn gaps_between_mappings_are_found_if_they_are_long_enough() {
        let areas = [
            area(LOWEST, PROGRAM - (64 << 20), "/other"),
            area(PROGRAM, PROGRAM + (10 << 20), "/program"),
            area(PROGRAM + (16 << 20), PROGRAM + (8 << 30), "/more"),
        ];
        let free = |len| free_within_reach(&areas, anchor(), len, REL32);
        assert_eq!(free(64 << 20), [Places { first: PROGRAM - (64 << 20), count: 1 }]);
        let [below, between] = free(2 << 20)[..] else { panic!("two gaps") };
        assert_eq!((below.count, between.count), (32, 3));
        assert_eq!(free(128 << 20), []);
    }
}
