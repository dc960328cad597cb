//! The policies of Linux, run from their rows.

use std::collections::BTreeMap;

use execmem_types::{Access, Backend as _, Extent, Kind, Protection, SyncScope, Trap};

use super::blocks::Blocks;
use super::cache::Cache;
use super::rows::{PolicyRow, Store};
use super::{Load, Placed, Policy};
use crate::refusal::Refusal;
use crate::sim::{Control, Sim};
use crate::vmalloc::{Huge, VirtualArea, Vmalloc};

/// A policy of Linux on a machine.
#[derive(Debug)]
pub struct KernelPolicy {
    row: PolicyRow,
    sim: Sim,
    areas: Vmalloc,
    blocks: Blocks,
    cache: Cache,
    held: BTreeMap<u64, Held>,
    /// Pages of slots, by the size of a slot: address and free slots.
    slots: BTreeMap<u64, Vec<(Extent, Vec<u64>)>>,
}

/// What a load has.
#[derive(Debug, Default)]
struct Held {
    parts: Vec<HeldPart>,
    /// Areas that several parts share: with what they hold, init or not.
    lumps: Vec<(Extent, bool)>,
}

#[derive(Debug, Clone, Copy)]
struct HeldPart {
    kind: Kind,
    extent: Extent,
    bytes: u64,
    store: Store,
}

const fn is_init(kind: Kind) -> bool {
    matches!(kind, Kind::InitText | Kind::InitData | Kind::InitRoData)
}

/// The rights of a kind once a load is published, and once it is finished.
const fn rights(kind: Kind, is_finished: bool) -> Protection {
    match kind {
        _ if kind.is_code() => Protection::ReadExecute,
        Kind::RoData | Kind::InitRoData => Protection::ReadOnly,
        Kind::RoAfterInit if is_finished => Protection::ReadOnly,
        _ => Protection::ReadWrite,
    }
}

/// Bytes to write: what they are is of no matter, that they are written is.
fn content(bytes: u64) -> Vec<u8> {
    vec![0x90; usize::try_from(bytes).unwrap_or(0)]
}

impl KernelPolicy {
    /// The policy of a row in a window of a machine.
    #[must_use]
    pub fn new(row: &PolicyRow, sim: Sim, window: Extent) -> Self {
        let areas = Vmalloc::new(&sim, window);
        KernelPolicy {
            row: *row,
            areas,
            blocks: Blocks::new(row.large_blocks),
            cache: Cache::default(),
            held: BTreeMap::new(),
            slots: BTreeMap::new(),
            sim,
        }
    }

    fn place(&mut self, held: &mut Held, load: &Load) -> Result<(), Refusal> {
        for of_init in [false, true] {
            let is_lump = |(kind, _): &&(Kind, u64)| self.row.store(*kind) == Store::Lump && is_init(*kind) == of_init;
            let parts: Vec<_> = load.parts.iter().filter(is_lump).copied().collect();
            self.place_lump(held, &parts, of_init)?;
        }
        for &(kind, bytes) in &load.parts {
            let store = self.row.store(kind);
            let extent = match store {
                Store::Lump => continue,
                Store::Pages => self.place_pages(kind, bytes)?,
                Store::Slots => self.place_slot(bytes)?,
                Store::Blocks => self.blocks.alloc(&self.sim, &mut self.areas, &content(bytes))?,
                Store::Cache => self.cache.alloc(&self.sim, &mut self.areas, &content(bytes))?,
            };
            held.parts.push(HeldPart { kind, extent, bytes, store });
        }
        Ok(())
    }

    /// One area for several parts, each on pages of its own; text first, then what is read-only.
    fn place_lump(&mut self, held: &mut Held, parts: &[(Kind, u64)], of_init: bool) -> Result<(), Refusal> {
        let page = self.sim.machine().page();
        let whole_pages = |bytes: u64| page.round_up(bytes).ok_or(Refusal::NoRoom { bytes });
        let len = parts.iter().try_fold(0, |sum, (_, bytes)| Ok::<u64, Refusal>(sum + whole_pages(*bytes)?))?;
        if len == 0 {
            return Ok(());
        }
        let lump = self.areas.alloc(&self.sim, &data_area(len))?;
        held.lumps.push((lump, of_init));
        let mut offset = 0;
        for &(kind, bytes) in parts {
            let Some(extent) = lump.part(offset, whole_pages(bytes)?) else { continue };
            self.publish(kind, extent, bytes)?;
            held.parts.push(HeldPart { kind, extent, bytes, store: Store::Lump });
            offset += extent.len();
        }
        Ok(())
    }

    fn place_pages(&mut self, kind: Kind, bytes: u64) -> Result<Extent, Refusal> {
        let extent = self.areas.alloc(&self.sim, &data_area(bytes))?;
        self.publish(kind, extent, bytes)?;
        Ok(extent)
    }

    /// Writes, then sets rights: read-only first, then executable.
    fn publish(&self, kind: Kind, extent: Extent, bytes: u64) -> Result<(), Refusal> {
        self.sim.write(Access::Store, extent.start(), &content(bytes))?;
        let protection = rights(kind, false);
        if protection == Protection::ReadExecute {
            self.sim.protect(extent, Protection::ReadOnly)?;
        }
        if protection != Protection::ReadWrite {
            self.sim.protect(extent, protection)?;
        }
        if protection == Protection::ReadExecute {
            self.sim.sync_code(extent, SyncScope::Fresh)?;
        }
        Ok(())
    }

    fn place_slot(&mut self, bytes: u64) -> Result<Extent, Refusal> {
        let page = self.sim.machine().page().bytes();
        let size = bytes.max(1).next_multiple_of(16).min(page);
        let has_free = |pages: &Vec<(Extent, Vec<u64>)>| pages.iter().any(|(_, free)| !free.is_empty());
        if !self.slots.get(&size).is_some_and(has_free) {
            let fresh = match self.row.ftrace {
                Store::Cache => self.cache.alloc(&self.sim, &mut self.areas, &content(page))?,
                _ => self.place_pages(Kind::Kprobe, page)?,
            };
            let free = (0..page / size).rev().map(|index| fresh.start() + index * size).collect();
            self.slots.entry(size).or_default().push((fresh, free));
        }
        let pages = self.slots.entry(size).or_default();
        let slot = pages.iter_mut().find_map(|(_, free)| free.pop());
        let extent = slot.and_then(|slot| Extent::new(slot, size)).ok_or(Refusal::NoRoom { bytes })?;
        self.sim.write(Access::Poke, extent.start(), &content(bytes.min(size)))?;
        self.sim.sync_code(extent, SyncScope::Fresh)?;
        Ok(extent)
    }

    /// Frees a slot; a page of free slots goes unless it is the last of its size.
    fn free_slot(&mut self, slot: Extent) -> Result<(), Refusal> {
        let pages = self.slots.entry(slot.len()).or_default();
        let Some(place) = pages.iter().position(|(page, _)| page.covers(slot)) else { return Ok(()) };
        let (page, free) = &mut pages[place];
        free.push(slot.start());
        let (page, is_empty) = (*page, free.len() as u64 == page.len() / slot.len());
        if is_empty && pages.len() > 1 {
            pages.remove(place);
            return match self.row.ftrace {
                Store::Cache => self.cache.free(&self.sim, &self.areas, page),
                _ => self.areas.free(&self.sim, page, true),
            };
        }
        Ok(())
    }

    fn free_part(&mut self, part: HeldPart) -> Result<(), Refusal> {
        match part.store {
            Store::Lump => Ok(()),
            Store::Pages => self.areas.free(&self.sim, part.extent, true),
            Store::Slots => self.free_slot(part.extent),
            Store::Blocks => self.blocks.free(&self.sim, &mut self.areas, part.extent),
            Store::Cache => self.cache.free(&self.sim, &self.areas, part.extent),
        }
    }

    /// Frees the parts and lumps that `goes` says.
    fn free_where(&mut self, held: &mut Held, goes: impl Fn(bool) -> bool) -> Result<(), Refusal> {
        let (gone, kept): (Vec<_>, Vec<_>) = held.parts.iter().partition(|part| goes(is_init(part.kind)));
        held.parts = kept;
        gone.into_iter().try_for_each(|part| self.free_part(part))?;
        let (gone, kept): (Vec<_>, Vec<_>) = held.lumps.iter().partition(|(_, of_init)| goes(*of_init));
        held.lumps = kept;
        gone.into_iter().try_for_each(|(lump, _): (Extent, bool)| self.areas.free(&self.sim, lump, true))
    }
}

const fn data_area(len: u64) -> VirtualArea {
    VirtualArea { len, huge: Huge::Never, protection: Protection::ReadWrite, unused: Trap::ZERO, node: Some(0) }
}

impl Policy for KernelPolicy {
    fn sim(&self) -> &Control {
        &self.sim
    }

    fn load(&mut self, id: u64, load: &Load) -> Result<(), Refusal> {
        let page = self.sim.machine().page().bytes();
        let file = self.sim.take_pages(load.temporary_bytes.div_ceil(page));
        let _ = self.sim.take_pages(load.resident_bytes.div_ceil(page));
        let mut held = Held::default();
        let outcome = self.place(&mut held, load);
        self.sim.give_pages(&file);
        if let Err(refusal) = outcome {
            self.free_where(&mut held, |_| true)?;
            return Err(refusal);
        }
        self.held.insert(id, held);
        Ok(())
    }

    fn finish(&mut self, id: u64) -> Result<(), Refusal> {
        let Some(mut held) = self.held.remove(&id) else { return Ok(()) };
        let sealed = held.parts.iter().filter(|part| part.kind == Kind::RoAfterInit);
        let outcome = sealed.into_iter().try_for_each(|part| self.sim.protect(part.extent, rights(part.kind, true)));
        let outcome = outcome.map_err(Refusal::from).and_then(|()| self.free_where(&mut held, |of_init| of_init));
        self.held.insert(id, held);
        outcome
    }

    fn unload(&mut self, id: u64) -> Result<(), Refusal> {
        match self.held.remove(&id) {
            Some(mut held) => self.free_where(&mut held, |_| true),
            None => Ok(()),
        }
    }

    fn settle(&mut self) {
        self.cache.clean(&self.sim, &mut self.areas);
        self.sim.shrink_cache();
    }

    fn placed(&self) -> Vec<Placed> {
        let parts = self.held.iter().flat_map(|(&id, held)| held.parts.iter().map(move |part| (id, part)));
        parts.map(|(id, part)| Placed { id, kind: part.kind, extent: part.extent, bytes: part.bytes }).collect()
    }
}
