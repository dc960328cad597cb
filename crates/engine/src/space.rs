//! Which addresses of the windows hold blocks.
//!
//! Windows of different kinds overlap, so the space they lie in is managed once for the whole engine. Overlapping
//! windows form a *zone*, an [`Arena`] of whole pages. Only addresses are handed out here: no memory, and nothing slow.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Range;

use execmem_range::{Arena, Fit, Ledger, Request};
use execmem_types::{Descriptor, Extent, Kind, PageSize, Placement, PowerOfTwo, Row, Table};

use crate::Error;
use crate::homes::Homes;

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

/// Whole pages that can be reserved together.
#[derive(Debug)]
struct Zone {
    extent: Extent,
    base: u64,
    arena: Arena,
    homes: Arc<Homes>,
}

/// A zone for those who look up addresses.
#[derive(Debug)]
pub(crate) struct ZoneView {
    pub(crate) extent: Extent,
    /// What offsets in the ledger count from.
    pub(crate) base: u64,
    /// Says whose blocks are where, mostly.
    pub(crate) homes: Arc<Homes>,
    /// Says which addresses are reserved, tagged by whose blocks are there.
    pub(crate) ledger: Arc<Ledger>,
}

/// The zones, in order of address.
#[derive(Debug)]
pub(crate) struct Space {
    zones: Vec<Zone>,
}

impl Space {
    /// The space of every window of a table.
    pub(crate) fn new(table: &Table) -> Result<Self, Error> {
        let page = table.machine().page();
        let mut alignment = page;
        let mut windows = Vec::new();
        for kind in Kind::ALL {
            let Row::Own(descriptor) = table.row(kind) else { continue };
            alignment = alignment.max(base_alignment(descriptor));
            for window in descriptor.windows() {
                let usable = usable(window, table.shared_quantum(kind), descriptor.placement);
                windows.try_reserve(1).map_err(|_| Error::OutOfMemory)?;
                windows.extend(whole_pages(usable, page));
            }
        }
        windows.sort_by_key(|window| window.start());
        windows.dedup_by(|window, zone| match union(*zone, *window) {
            Some(both) => {
                *zone = both;
                true
            }
            None => false,
        });
        let mut zones = Vec::new();
        zones.try_reserve_exact(windows.len()).map_err(|_| Error::OutOfMemory)?;
        for extent in windows {
            zones.push(Zone::new(extent, page, alignment)?);
        }
        Ok(Space { zones })
    }

    /// The zones for those who look up addresses.
    pub(crate) fn views(&self) -> Result<Vec<ZoneView>, Error> {
        let mut views = Vec::new();
        views.try_reserve_exact(self.zones.len()).map_err(|_| Error::OutOfMemory)?;
        views.extend(self.zones.iter().map(Zone::view));
        Ok(views)
    }

    /// Takes `len` bytes of a window whose reservations have a [tag](crate::lookup::reservation_tag). `None` if it has no
    /// such place.
    pub(crate) fn reserve(
        &mut self,
        window: Extent,
        len: u64,
        align: PowerOfTwo,
        placement: Placement,
        tag: u32,
    ) -> Result<Option<Extent>, Error> {
        let fit = match placement {
            Placement::BottomUp => Fit::Lowest,
            Placement::TopDown => Fit::Highest,
        };
        let Some(zone) = self.zone_of(window) else { return Ok(None) };
        let Some(within) = whole_pages(window, zone.page()) else { return Ok(None) };
        let request = Request::new(len).aligned(align.bytes()).within(zone.offsets(within)).placed(fit).tagged(tag);
        match zone.reserve(&request) {
            Ok(Some(range)) => Ok(zone.extent_of(&range)),
            Err(execmem_range::Error::OutOfMemory) => Err(Error::OutOfMemory),
            Ok(None) | Err(_) => Ok(None),
        }
    }

    /// Takes exactly `extent`, if it lies in `window` and is free.
    pub(crate) fn reserve_at(&mut self, window: Extent, extent: Extent, tag: u32) -> bool {
        let Some(zone) = self.zone_of(extent).filter(|_| window.covers(extent)) else { return false };
        let request = Request::new(extent.len()).within(zone.offsets(extent)).tagged(tag);
        matches!(zone.reserve(&request), Ok(Some(_)))
    }

    /// Gives back what was reserved, starting at the start of a reservation.
    pub(crate) fn release(&mut self, extent: Extent) {
        let freed = self.zone_of(extent).map(|zone| zone.arena.free(extent.start() - zone.base));
        assert!(matches!(freed, Some(Ok(_))), "I1: released {extent}, which was not reserved");
    }

    /// Cuts a reservation into reservations of `unit` bytes. On failure it is given back as a whole.
    pub(crate) fn divide(&mut self, extent: Extent, unit: u64) -> Result<(), Error> {
        let mut rest = extent;
        while rest.len() > unit {
            let Some(zone) = self.zone_of(rest) else { break };
            if zone.arena.split(rest.start() - zone.base, unit).is_err() {
                self.release_all(extent, unit);
                return Err(Error::OutOfMemory);
            }
            rest = rest.part(unit, rest.len() - unit).unwrap_or(rest);
        }
        Ok(())
    }

    /// Gives back every reservation in an extent, each of which starts at a multiple of `unit` in it.
    pub(crate) fn release_all(&mut self, extent: Extent, unit: u64) {
        for start in (0..extent.len()).step_by(usize::try_from(unit).unwrap_or(usize::MAX)) {
            if let Some(zone) = self.zone_of(extent) {
                // What was not divided any further went with the part before it.
                let _ = zone.arena.free(extent.start() + start - zone.base);
            }
        }
    }

    fn zone_of(&mut self, extent: Extent) -> Option<&mut Zone> {
        self.zones.iter_mut().find(|zone| zone.extent.overlaps(extent))
    }

    /// Whether any managed address lies in `extent`.
    pub(crate) fn overlaps(&self, extent: Extent) -> bool {
        self.zones.iter().any(|zone| zone.extent.overlaps(extent))
    }

    /// The reservations in order.
    pub(crate) fn reserved(&self) -> impl Iterator<Item = Extent> + '_ {
        self.zones.iter().flat_map(|zone| zone.arena.live().filter_map(|range| zone.extent_of(&range)))
    }

    /// Checks the arenas.
    pub(crate) fn audit(&self) -> Result<(), execmem_range::Violation> {
        self.zones.iter().try_for_each(|zone| zone.arena.audit().map(drop))
    }
}

impl Zone {
    fn new(extent: Extent, page: PageSize, alignment: PowerOfTwo) -> Result<Self, Error> {
        let base = alignment.round_down(extent.start());
        let end = extent.last() - base + 1;
        let ledger = Ledger::new(page.log2(), end).map_err(|_| Error::OutOfMemory)?;
        let mut arena = Arena::over(Arc::new(ledger));
        arena.add(extent.start() - base..end).map_err(|_| Error::OutOfMemory)?;
        let homes = Arc::new(Homes::new(end, alignment)?);
        Ok(Zone { extent, base, arena, homes })
    }

    /// Takes offsets, and lets look-ups know for whom.
    fn reserve(&mut self, request: &Request) -> Result<Option<Range<u64>>, execmem_range::Error> {
        let range = self.arena.try_alloc(request)?;
        Ok(range.inspect(|range| self.homes.note(range.start, range.end - range.start, request.tag)))
    }

    fn view(&self) -> ZoneView {
        let (homes, ledger) = (Arc::clone(&self.homes), Arc::clone(self.arena.ledger()));
        ZoneView { extent: self.extent, base: self.base, homes, ledger }
    }

    fn page(&self) -> PageSize {
        PageSize::from_bytes(self.arena.quantum()).unwrap_or(PageSize::from_log2(0))
    }

    /// The part of an extent that lies in the zone, as offsets.
    fn offsets(&self, extent: Extent) -> Range<u64> {
        let (start, last) = (extent.start().max(self.extent.start()), extent.last().min(self.extent.last()));
        start - self.base..last - self.base + 1
    }

    fn extent_of(&self, range: &Range<u64>) -> Option<Extent> {
        Extent::new(self.base + range.start, range.end - range.start)
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
