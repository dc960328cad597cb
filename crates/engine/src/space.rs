//! Which addresses of the windows hold blocks.
//!
//! Windows of different kinds overlap, so the space they lie in is managed once for the whole engine. Overlapping
//! windows form a *zone*, whose [pages] are reserved by number. Only addresses are handed out here: no memory, and nothing
//! slow. Which window an address was reserved for is told to look-ups without a lock.

mod address_index;
mod pages;

use alloc::vec::Vec;
use core::ops::Range;

use execmem_types::{Descriptor, Extent, PageSize, Placement, PowerOfTwo};

pub(crate) use address_index::{ReservationTag, Slot};

use crate::Error;
use crate::sync::{Lock, RawMutex};
use address_index::AddressIndex;
use pages::Pages;

/// The longest part of a window that is used. No kind of memory needs as much.
const WINDOW_MAX_BYTES: u64 = 8 << 30;

/// The part of a window that is used: all of it, or the end that is filled first of one that is longer than
/// 8 GiB or 2³⁰ quanta.
pub(crate) fn usable(window: Extent, quantum: PowerOfTwo, placement: Placement) -> Extent {
    let len = window.len().min(WINDOW_MAX_BYTES).min(quantum.bytes() << 30);
    let start = match placement {
        Placement::BottomUp => window.start(),
        Placement::TopDown => window.last() - (len - 1),
    };
    Extent::new(start, len).unwrap_or(window)
}

/// What the offsets of an arena must count from so that every alignment of the kind is one of offsets too.
pub(crate) fn base_alignment(descriptor: &Descriptor) -> PowerOfTwo {
    descriptor.granularities().fold(descriptor.alignment, PowerOfTwo::max)
}

/// A window as far as it is used, and the largest alignment of blocks in it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SpaceWindow {
    pub(crate) extent: Extent,
    pub(crate) alignment: PowerOfTwo,
}

/// The zones, in order of address, and the pages of each that are reserved.
#[derive(Debug)]
pub(crate) struct Space<R> {
    zones: Vec<Zone>,
    reserved: Lock<R, Vec<Pages>>,
}

/// Whole pages that can be reserved together.
#[derive(Debug)]
struct Zone {
    extent: Extent,
    /// Where pages and the index count from: every alignment of an address is one of the offset.
    base: u64,
    page: PageSize,
    index: AddressIndex,
}

impl<R: RawMutex> Space<R> {
    /// The space of some windows.
    #[inline(never)] // Its frame is gone before the engine is put together.
    pub(crate) fn new<W: Iterator<Item = SpaceWindow>>(page: PageSize, windows: impl Fn() -> W) -> Result<Self, Error> {
        let alignment = windows().map(|window| window.alignment).fold(page, PowerOfTwo::max);
        let mut extents = Vec::new();
        extents.try_reserve_exact(windows().count()).map_err(|_| Error::OutOfMemory)?;
        // A few, which are put in order here: what `core` sorts with takes most of a kilobyte of stack.
        for extent in windows().filter_map(|window| whole_pages(window.extent, page)) {
            let at = extents.partition_point(|other: &Extent| other.start() <= extent.start());
            extents.insert(at, extent);
        }
        extents.dedup_by(|extent, zone| match union(*zone, *extent) {
            Some(both) => {
                *zone = both;
                true
            }
            None => false,
        });
        let (mut zones, mut pages) = (Vec::new(), Vec::new());
        zones.try_reserve_exact(extents.len()).map_err(|_| Error::OutOfMemory)?;
        pages.try_reserve_exact(extents.len()).map_err(|_| Error::OutOfMemory)?;
        for extent in extents {
            zones.push(Zone::new(extent, page, alignment)?);
            pages.push(Pages::default());
        }
        Ok(Space { zones, reserved: Lock::new(pages) })
    }

    /// Which window an address was reserved for. Takes no lock.
    #[inline]
    pub(crate) fn slot_of(&self, address: u64) -> Slot {
        let zone = self.zones.iter().find(|zone| zone.extent.contains(address));
        zone.map_or(Slot::Outside, |zone| zone.index.at(address - zone.base))
    }

    /// Takes `len` bytes of a window. `None` if it has no such place.
    pub(crate) fn reserve(
        &self,
        window: Extent,
        len: u64,
        align: PowerOfTwo,
        placement: Placement,
        tag: ReservationTag,
    ) -> Result<Option<Extent>, Error> {
        let Some((number, zone)) = self.zone_of(window) else { return Ok(None) };
        let Some(within) = whole_pages(window, zone.page).map(|within| zone.pages_of(within)) else { return Ok(None) };
        let (count, mask) = (len.div_ceil(zone.page.bytes()), align.bytes().div_ceil(zone.page.bytes()) - 1);
        self.reserved.with(|reserved| {
            let pages = &mut reserved[number];
            let place = match placement {
                Placement::BottomUp => pages.lowest(count, mask, &within),
                Placement::TopDown => pages.highest(count, mask, &within),
            };
            place.map(|place| zone.take(pages, place..place + count, tag)).transpose()
        })
    }

    /// Takes exactly `extent`, if it lies in `window` and is free.
    pub(crate) fn reserve_at(&self, window: Extent, extent: Extent, tag: ReservationTag) -> bool {
        let Some((number, zone)) = self.zone_of(extent).filter(|_| window.covers(extent)) else { return false };
        let place = zone.pages_of(extent);
        self.reserved.with(|reserved| {
            let pages = &mut reserved[number];
            pages.are_free(&place) && zone.take(pages, place, tag).is_ok()
        })
    }

    /// Gives back what was reserved, or a part of it.
    pub(crate) fn release(&self, extent: Extent) {
        let released = self.zone_of(extent).is_some_and(|(number, zone)| {
            self.reserved.with(|reserved| {
                zone.index.forget(extent.start() - zone.base, extent.len());
                reserved[number].release(&zone.pages_of(extent))
            })
        });
        assert!(released, "I1: released {extent}, which was not reserved");
    }

    fn zone_of(&self, extent: Extent) -> Option<(usize, &Zone)> {
        self.zones.iter().enumerate().find(|(_, zone)| zone.extent.overlaps(extent))
    }

    /// Whether any managed address lies in `extent`.
    pub(crate) fn overlaps(&self, extent: Extent) -> bool {
        self.zone_of(extent).is_some()
    }

    /// Whether all of an extent is reserved.
    pub(crate) fn is_reserved(&self, extent: Extent) -> bool {
        self.zone_of(extent).is_some_and(|(number, zone)| {
            self.reserved.with(|reserved| reserved[number].are_reserved(&zone.pages_of(extent)))
        })
    }

    /// Bytes that are reserved.
    pub(crate) fn reserved_bytes(&self) -> u64 {
        let bytes = |(zone, pages): (&Zone, &Pages)| {
            pages.reserved().map(|run| run.end - run.start).sum::<u64>() << zone.page.log2()
        };
        self.reserved.with(|reserved| self.zones.iter().zip(&*reserved).map(bytes).sum())
    }

    /// Whether the pages know what is free.
    pub(crate) fn audit(&self) -> bool {
        self.reserved.with(|reserved| reserved.iter().all(Pages::audit))
    }
}

impl Zone {
    fn new(extent: Extent, page: PageSize, alignment: PowerOfTwo) -> Result<Self, Error> {
        let base = alignment.round_down(extent.start());
        let index = AddressIndex::new(extent.last() - base + 1, alignment)?;
        Ok(Zone { extent, base, page, index })
    }

    /// Reserves pages, and lets look-ups know for which window.
    fn take(&self, pages: &mut Pages, place: Range<u64>, tag: ReservationTag) -> Result<Extent, Error> {
        let Some(extent) = self.extent_of(&place) else { return Err(Error::OutOfMemory) };
        pages.reserve(place)?;
        self.index.note(extent.start() - self.base, extent.len(), tag);
        Ok(extent)
    }

    /// The pages of an extent, as far as it lies in the zone.
    fn pages_of(&self, extent: Extent) -> Range<u64> {
        let (start, last) = (extent.start().max(self.extent.start()), extent.last().min(self.extent.last()));
        (start - self.base) >> self.page.log2()..((last - self.base) >> self.page.log2()) + 1
    }

    fn extent_of(&self, pages: &Range<u64>) -> Option<Extent> {
        Extent::new(self.base + (pages.start << self.page.log2()), (pages.end - pages.start) << self.page.log2())
    }
}

/// Two extents as one, if they overlap and the second does not begin before the first.
fn union(first: Extent, second: Extent) -> Option<Extent> {
    let both = Extent::between(first.start(), first.end().max(second.end()));
    both.filter(|_| first.overlaps(second))
}

/// The whole pages inside an extent.
fn whole_pages(extent: Extent, page: PageSize) -> Option<Extent> {
    let end = extent.end() & !u128::from(page.bytes() - 1);
    Extent::between(page.round_up(extent.start())?, end)
}
