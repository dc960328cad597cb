//! Where a request must go, found by trying every place.

use execmem::{Extent, Kind, PageSize, Table};
use execmem_types::{Growth, Placement};

/// A block that is mapped, and the pool it belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Block {
    pub(crate) home: Kind,
    pub(crate) extent: Extent,
}

/// What must happen to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It goes to blocks of this window, and nothing is mapped.
    Hole { window: usize },
    /// These addresses are mapped in leaves of this size, and it goes there.
    Grow { window: usize, extent: Extent, page: PageSize },
    /// It goes to blocks of this window, or to new ones there; the pool grows page by page.
    Tail,
    /// There is no room.
    Full,
}

/// Everything the oracle knows.
#[derive(Debug)]
pub(crate) struct Oracle<'t> {
    pub(crate) table: &'t Table,
    pub(crate) blocks: &'t [Block],
    pub(crate) live: &'t [(Kind, Extent)],
}

impl Oracle<'_> {
    /// Window by window: a hole first, then a block of each granularity.
    pub(crate) fn judge(&self, kind: Kind, requested: u64) -> Verdict {
        let descriptor = self.table.descriptor(kind);
        let sizes = descriptor.granularities().count();
        if sizes > 1 && descriptor.growth != Growth::Whole {
            return Verdict::Tail;
        }
        let len = self.table.quantum(kind).round_up(requested).expect("a sensible length");
        let align = self.table.alignment(kind).bytes();
        for (window, extent) in descriptor.windows().enumerate() {
            if self.has_hole(kind, window, len, align) {
                return Verdict::Hole { window };
            }
            for (step, page) in descriptor.granularities().enumerate() {
                let unit = page.bytes().max(align);
                let least = match (descriptor.growth, step) {
                    (Growth::Small, _) => len.max(self.step(kind, window, page) / len * len),
                    (_, 0) => len,
                    _ => len.max(page.bytes() * 16),
                };
                for least in [least, len] {
                    let block = least.next_multiple_of(unit);
                    if let Some(extent) = self.lowest_or_highest(extent, block, unit, descriptor.placement) {
                        return Verdict::Grow { window, extent, page };
                    }
                    if descriptor.growth != Growth::Small {
                        break;
                    }
                }
            }
        }
        Verdict::Full
    }

    /// The least that a pool of one page size grows by: an eighth of what it has in the window, 512 pages at most.
    fn step(&self, kind: Kind, window: usize, page: PageSize) -> u64 {
        let mapped: u64 = self.runs(self.table.home(kind), window).into_iter().map(Extent::len).sum();
        (mapped / 8).min(page.bytes() * 512)
    }

    /// The first window that holds an extent.
    pub(crate) fn window_of(&self, kind: Kind, extent: Extent) -> Option<usize> {
        self.table.descriptor(kind).windows().position(|window| window.covers(extent))
    }

    /// Whether any aligned place in the blocks of a window is free.
    fn has_hole(&self, kind: Kind, window: usize, len: u64, align: u64) -> bool {
        let home = self.table.home(kind);
        self.runs(home, window).into_iter().any(|run| {
            let mut at = run.start();
            while let Some(place) = Extent::new(at.next_multiple_of(align), len).filter(|place| run.covers(*place)) {
                match self.live.iter().find(|(_, live)| live.overlaps(place)) {
                    None => return true,
                    Some((_, live)) if live.last() == u64::MAX => return false,
                    Some((_, live)) => at = live.last() + 1,
                }
            }
            false
        })
    }

    /// Blocks of a pool in a window, joined where they touch.
    fn runs(&self, home: Kind, window: usize) -> Vec<Extent> {
        let mine = self.blocks.iter().filter(|block| block.home == home);
        let mut extents: Vec<_> = mine.map(|block| block.extent).collect();
        extents.retain(|extent| self.window_of(home, *extent) == Some(window));
        extents.sort_by_key(|extent| extent.start());
        let mut runs: Vec<Extent> = Vec::new();
        for extent in extents {
            match runs.last_mut().filter(|run| run.end() == u128::from(extent.start())) {
                Some(run) => *run = Extent::between(run.start(), extent.end()).expect("both"),
                None => runs.push(extent),
            }
        }
        runs
    }

    /// The lowest or highest aligned addresses of a window that no block has, tried one by one.
    fn lowest_or_highest(&self, window: Extent, len: u64, unit: u64, placement: Placement) -> Option<Extent> {
        let page = self.table.machine().page();
        let first = page.round_up(window.start())?.next_multiple_of(unit);
        let end = window.end() & !u128::from(page.bytes() - 1);
        let places = (first..).step_by(usize::try_from(unit).expect("a block")).map_while(|start| {
            let place = Extent::new(start, len)?;
            (place.end() <= end).then_some(place)
        });
        let mut free = places.filter(|place| !self.blocks.iter().any(|block| self.reserved(block).overlaps(*place)));
        match placement {
            Placement::BottomUp => free.next(),
            Placement::TopDown => free.last(),
        }
    }

    /// The addresses of a block: where a pool grows by the tail, those of the whole large block it will become.
    fn reserved(&self, block: &Block) -> Extent {
        let descriptor = self.table.descriptor(block.home);
        let grows_small = descriptor.growth != Growth::Whole && descriptor.granularities().count() > 1;
        let large = descriptor.granularities().next().filter(|_| grows_small);
        let Some(large) = large else { return block.extent };
        let start = large.round_down(block.extent.start());
        Extent::between(start, u128::from(large.round_down(block.extent.last())) + u128::from(large.bytes()))
            .expect("whole")
    }
}
