//! Where a window goes: the free addresses nearest to an anchor that a direct call reaches.
//!
//! Pure arithmetic over a list of mappings; whoever maps there asks the kernel to refuse if somebody was faster.

use execmem_types::{Extent, Reach};

use crate::host::LARGE;
use crate::proc::Area;

/// Nothing is placed below: the kernel keeps the first pages unmapped (`vm.mmap_min_addr`), and null pointers with an
/// offset should fault.
const LOWEST: u64 = 1 << 20;

/// Left free below a stack, which grows down.
const STACK_ROOM: u64 = 64 << 20;

/// The program that code at `address` belongs to: all mappings of the same file.
pub(crate) fn program(areas: &[Area], address: u64) -> Option<Extent> {
    let own = areas.iter().find(|area| area.extent.contains(address))?;
    let same = areas.iter().filter(|area| area.name == own.name && !own.name.is_empty()).map(|area| area.extent);
    same.chain([own.extent]).reduce(|all, part| {
        let end = all.end().max(part.end());
        Extent::between(all.start().min(part.start()), end).unwrap_or(all)
    })
}

/// Starts of windows of `len` bytes from which a direct call reaches all of `anchor` and back, best first.
///
/// Below the anchor the nearest comes first. Above it the farthest does, because the heap of a program grows up from
/// its end.
pub(crate) fn candidates(areas: &[Area], anchor: Extent, len: u64, reach: Reach) -> Vec<u64> {
    let gaps = gaps(areas);
    let fits = |start: &u64| Extent::new(*start, len).is_some_and(|window| reach.connects(anchor, window));
    let below = gaps.iter().rev().filter(|gap| gap.start() < anchor.start());
    let below = below.filter_map(|gap| highest(*gap, len, anchor.start())).filter(fits);
    let top = anchor.start().saturating_add(forward(reach));
    let above = gaps.iter().rev().filter(|gap| gap.start() >= anchor.start());
    let above = above.filter_map(|gap| highest(*gap, len, top)).filter(fits);
    below.chain(above).collect()
}

/// How far forward from an address a window may end at most.
pub(crate) fn forward(reach: Reach) -> u64 {
    match reach {
        Reach::Relative { min, max, .. } => max.unsigned_abs().min(min.unsigned_abs()),
        Reach::Segment { size_log2, .. } => 1 << size_log2,
    }
}

/// The highest start in a gap of a window that ends at `end` at the latest.
fn highest(gap: Extent, len: u64, end: u64) -> Option<u64> {
    let end = u64::try_from(gap.end()).unwrap_or(u64::MAX).min(end);
    let start = LARGE.round_down(end.checked_sub(len)?);
    (start >= gap.start()).then_some(start)
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

    fn area(start: u64, end: u64, name: &str) -> Area {
        Area::of(Extent::between(start, end.into()).expect("area"), name)
    }

    #[test]
    fn a_program_is_all_mappings_of_its_file() {
        let areas =
            [area(0x40_0000, 0x41_0000, "/a"), area(0x41_0000, 0x42_0000, "/a"), area(0x50_0000, 0x51_0000, "")];
        let program = |address| program(&areas, address).map(|extent| (extent.start(), extent.end()));
        assert_eq!(program(0x40_1000), Some((0x40_0000, 0x42_0000)));
        assert_eq!(program(0x50_1000), Some((0x50_0000, 0x51_0000)));
        assert_eq!(program(0x60_0000), None);
    }

    #[test]
    fn below_comes_nearest_first_and_above_leaves_room_for_the_heap() {
        let base = 0x5555_5540_0000;
        let areas = [
            area(0x1000_0000_0000, 0x1000_1000_0000, "/far"),
            area(base, base + 0x10_0000, "/program"),
            area(base + 0x10_0000, base + 0x30_0000, "[heap]"),
            area(0x7fff_0000_0000, 0x7fff_0010_0000, "[stack]"),
        ];
        let len = 1 << 30;
        let found = candidates(&areas, areas[1].extent, len, REL32);
        assert_eq!(found[0], base - len);
        let above = found[1];
        assert!(above + len <= base + 0x7fff_ffff && above > base + (1 << 29), "{above:#x}");
        for start in found {
            let window = Extent::new(start, len).expect("window");
            assert!(REL32.connects(areas[1].extent, window));
            assert!(areas.iter().all(|area| !area.extent.overlaps(window)));
        }
        assert_eq!(
            candidates(&areas, areas[1].extent, 2 << 30, REL32),
            [],
            "nothing that long is in reach at both ends"
        );
    }

    #[test]
    fn a_program_at_the_bottom_gets_a_window_above() {
        let areas = [area(0x40_0000, 0x50_0000, "/program"), area(0x7fff_0000_0000, 0x7fff_0010_0000, "[stack]")];
        let found = candidates(&areas, areas[0].extent, 1 << 30, REL32);
        assert_eq!(found.len(), 1);
        assert!(found[0] > 0x50_0000);
        let full = [area(LOWEST, 0x40_0000, "x"), area(0x40_0000, 0xffff_ffff_0000, "/program")];
        assert_eq!(candidates(&full, full[1].extent, 1 << 30, REL32), []);
    }
}
