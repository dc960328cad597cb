//! The cache of `mm/execmem.c`: large executable blocks given out by whole pages, lowest address first.
//!
//! A page becomes writable and not executable to be written, then read-only and executable again, and the block is put
//! together if all of it agrees; the same again when it is freed. The direct map follows, and is not put together.

use std::collections::BTreeMap;

use execmem_types::{Access, Backend as _, Extent, Protection, SyncScope};

use super::blocks::give;
use crate::refusal::Refusal;
use crate::sim::Sim;
use crate::vmalloc::{Huge, VirtualArea, Vmalloc};

/// The cache.
#[derive(Debug, Default)]
pub(super) struct Cache {
    /// Free stretches of pages: start and length.
    free: BTreeMap<u64, u64>,
}

impl Cache {
    /// Takes pages and writes `content` there.
    pub(super) fn alloc(&mut self, sim: &Sim, areas: &mut Vmalloc, content: &[u8]) -> Result<Extent, Refusal> {
        let bytes = content.len() as u64;
        let no_room = Refusal::NoRoom { bytes };
        let len = sim.machine().page().round_up(bytes.max(1)).ok_or(no_room)?;
        let extent = match self.take(len) {
            Some(extent) => extent,
            None => {
                self.grow(sim, areas, len)?;
                self.take(len).ok_or(no_room)?
            }
        };
        rewrite(sim, areas, extent, |sim| sim.write(Access::Store, extent.start(), content))?;
        Ok(extent)
    }

    /// Destroys the content of pages and takes them back.
    pub(super) fn free(&mut self, sim: &Sim, areas: &Vmalloc, extent: Extent) -> Result<(), Refusal> {
        rewrite(sim, areas, extent, |sim| sim.fill(Access::Store, extent, sim.machine().trap()))?;
        give(&mut self.free, extent);
        Ok(())
    }

    /// Gives areas of which nothing is used back.
    pub(super) fn clean(&mut self, sim: &Sim, areas: &mut Vmalloc) {
        for (start, len) in self.free.clone() {
            let mut rest = Extent::new(start, len);
            while let Some(extent) = rest {
                let Some(area) = areas.area_of(extent.start()) else { break };
                if extent.covers(area) && areas.free(sim, area, true).is_ok() {
                    cut(&mut self.free, area);
                }
                let after = area.last().saturating_add(1).saturating_sub(extent.start());
                rest = extent.part(after, extent.len().saturating_sub(after));
            }
        }
    }

    fn take(&mut self, len: u64) -> Option<Extent> {
        let (&start, _) = self.free.iter().find(|(_, free)| **free >= len)?;
        let extent = Extent::new(start, len)?;
        cut(&mut self.free, extent);
        Some(extent)
    }

    /// Maps whole large blocks, or if there are none just what is wanted in small pages.
    fn grow(&mut self, sim: &Sim, areas: &mut Vmalloc, len: u64) -> Result<(), Refusal> {
        let large = areas.large().round_up(len).ok_or(Refusal::NoRoom { bytes: len })?;
        let area = |len, huge| VirtualArea {
            len,
            huge,
            protection: Protection::ReadWrite,
            unused: sim.machine().trap(),
            node: Some(0),
        };
        let extent = match areas.alloc(sim, &area(large, Huge::AllOrNothing)) {
            Ok(extent) => extent,
            Err(_) => areas.alloc(sim, &area(len, Huge::Never))?,
        };
        sim.protect(extent, Protection::ReadExecute)?;
        give(&mut self.free, extent);
        Ok(())
    }
}

/// Removes an extent from the free stretch it lies in.
fn cut(free: &mut BTreeMap<u64, u64>, extent: Extent) {
    let Some((&start, &len)) = free.range(..=extent.start()).next_back() else { return };
    free.remove(&start);
    if extent.start() > start {
        free.insert(start, extent.start() - start);
    }
    let after = (start + len) - (extent.start() + extent.len());
    if after > 0 {
        free.insert(extent.start() + extent.len(), after);
    }
}

/// No-execute, writable, `write`, read-only and executable: four changes of rights in three calls with a flush each, and
/// the large leaf put together again if it agrees.
fn rewrite(
    sim: &Sim,
    areas: &Vmalloc,
    extent: Extent,
    write: impl FnOnce(&Sim) -> Result<(), execmem_types::BackendError>,
) -> Result<(), Refusal> {
    sim.protect(extent, Protection::ReadOnly)?;
    sim.protect(extent, Protection::ReadWrite)?;
    write(sim)?;
    sim.protect(extent, Protection::ReadExecute)?;
    sim.sync_code(extent, SyncScope::Fresh)?;
    sim.merge_in_place(extent, areas.large());
    Ok(())
}
