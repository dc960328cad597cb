//! Areas of a window with pages behind them, as `vmalloc` gives them out: lowest place first, a guard page after each.
//!
//! Large leaves are used for requests that are large enough: all or none of them, as in Linux, or block by block, where
//! one that cannot be had costs small pages for that block only.

use std::collections::BTreeMap;

use execmem_types::{Backend as _, BackendError, Extent, Mapping, PageSize, Protection, Rights, Trap};

use crate::refusal::Refusal;
use crate::sim::Sim;

/// When large leaves are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Huge {
    /// Never.
    Never,
    /// For the whole request; if one cannot be had, for nothing of it.
    AllOrNothing,
    /// For every block that can have one. The rest, and what is left at the end, is small.
    PerBlock,
}

/// What is wanted of an area.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VirtualArea {
    /// Bytes, rounded up to pages.
    pub len: u64,
    /// When large leaves are used.
    pub huge: Huge,
    /// Rights at first.
    pub protection: Protection,
    /// Content at first.
    pub unused: Trap,
    /// The node the memory should be of. `None`: all nodes in turn, so each node's share must be large enough.
    pub node: Option<usize>,
}

/// The areas of a window.
#[derive(Debug)]
pub struct Vmalloc {
    window: Extent,
    page: PageSize,
    large: PageSize,
    /// Start and length, without the guard page.
    areas: BTreeMap<u64, u64>,
}

impl Vmalloc {
    /// An empty window.
    #[must_use]
    pub fn new(sim: &Sim, window: Extent) -> Self {
        Vmalloc { window, page: sim.machine().page(), large: sim.large_page(), areas: BTreeMap::new() }
    }

    /// Size of large leaves.
    #[must_use]
    pub const fn large(&self) -> PageSize {
        self.large
    }

    /// Finds a place and maps it. The extent is as long as was mapped.
    ///
    /// # Errors
    ///
    /// [`Refusal::NoRoom`] if the window is full, [`Refusal::Backend`] if there is no memory.
    pub fn alloc(&mut self, sim: &Sim, area: &VirtualArea) -> Result<Extent, Refusal> {
        let no_room = Refusal::NoRoom { bytes: area.len };
        let len = self.page.round_up(area.len.max(1)).ok_or(no_room)?;
        let share = if area.node.is_some() { len } else { len / sim.node_count() };
        if area.huge != Huge::Never && share >= self.large.bytes() {
            let rounded = if area.huge == Huge::AllOrNothing { self.large.round_up(len) } else { Some(len) };
            let place = rounded.and_then(|rounded| self.find(rounded, self.large));
            if let Some(place) = place
                && self.map(sim, place, area).is_ok()
            {
                self.areas.insert(place.start(), place.len());
                return Ok(place);
            }
        }
        let place = self.find(len, self.page).ok_or(no_room)?;
        self.map_small(sim, place, area)?;
        self.areas.insert(place.start(), place.len());
        Ok(place)
    }

    /// Unmaps an area. With `resets`, the direct map forgets its rights page by page, before anybody gets the memory.
    ///
    /// # Errors
    ///
    /// [`Refusal::Backend`].
    pub fn free(&mut self, sim: &Sim, extent: Extent, resets: bool) -> Result<(), Refusal> {
        if resets {
            sim.reset_alias(extent)?;
        }
        sim.unmap(extent)?;
        self.areas.remove(&extent.start());
        Ok(())
    }

    /// The area that holds an address.
    #[must_use]
    pub fn area_of(&self, address: u64) -> Option<Extent> {
        let (&start, &len) = self.areas.range(..=address).next_back()?;
        Extent::new(start, len).filter(|area| area.contains(address))
    }

    /// The lowest place for `len` bytes and a guard page.
    fn find(&self, len: u64, align: PageSize) -> Option<Extent> {
        let mut start = align.round_up(self.window.start())?;
        for (&busy, &busy_len) in &self.areas {
            if busy >= start.checked_add(len)?.checked_add(self.page.bytes())? {
                break;
            }
            start = start.max(align.round_up(busy + busy_len + self.page.bytes())?);
        }
        Extent::new(start, len).filter(|place| self.window.covers(*place))
    }

    fn map(&self, sim: &Sim, place: Extent, area: &VirtualArea) -> Result<(), BackendError> {
        let mut rest = Some(place);
        while let Some(extent) = rest {
            let unit = extent.part(0, self.large.bytes().min(extent.len())).unwrap_or(extent);
            let is_whole = unit.len() == self.large.bytes();
            let outcome = match (is_whole, area.huge) {
                (true, Huge::AllOrNothing) => map_leaves(sim, unit, self.large, area),
                (true, Huge::PerBlock) => {
                    map_leaves(sim, unit, self.large, area).or_else(|_| map_leaves(sim, unit, self.page, area))
                }
                _ => map_leaves(sim, unit, self.page, area),
            };
            if let Err(error) = outcome {
                if let Some(mapped) = place.part(0, extent.start() - place.start()) {
                    sim.unmap(mapped)?;
                }
                return Err(error);
            }
            rest = extent.part(unit.len(), extent.len() - unit.len());
        }
        Ok(())
    }

    fn map_small(&self, sim: &Sim, place: Extent, area: &VirtualArea) -> Result<(), BackendError> {
        map_leaves(sim, place, self.page, area)
    }
}

fn map_leaves(sim: &Sim, extent: Extent, page: PageSize, area: &VirtualArea) -> Result<(), BackendError> {
    // Linux changes the rights of an area as it likes.
    let mapping = Mapping { rights: Rights::ALL, ..Mapping::new(extent, page, area.protection, area.unused) };
    sim.map_on(&mapping, area.node.unwrap_or(0))
}
