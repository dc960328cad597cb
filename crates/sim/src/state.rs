//! The state of the machine and the operations on it, all of which run under one lock.

use execmem_types::{BackendError, Extent, Machine, Mapping, PageSize, Protection};

use crate::buddy::Frame;
use crate::counts::Counts;
use crate::direct::{Alias, DirectChange, DirectMap};
use crate::faults::Faults;
use crate::memory::Memory;
use crate::options::Options;
use crate::paging::{Leaf, Owner, Paging};
use crate::tlb::Tlb;
use crate::unmapped::UnmappedCache;
use crate::unsynced::Unsynced;

#[derive(Debug)]
pub(crate) struct State {
    pub(crate) machine: Machine,
    pub(crate) memory: Memory,
    pub(crate) paging: Paging,
    pub(crate) direct: Option<DirectMap>,
    /// Where frames come from, if not straight from memory.
    pub(crate) cache: Option<UnmappedCache>,
    pub(crate) tlbs: Vec<Tlb>,
    pub(crate) faults: Faults,
    pub(crate) counts: Counts,
    pub(crate) unsynced: Unsynced,
}

/// Whether content may move to make a large leaf.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Relocate {
    Allowed,
    Never,
}

/// What the direct map allows for memory with these rights: no-execute does not reach it.
const fn alias_of(protection: Protection, is_writable: bool) -> Alias {
    match protection {
        _ if is_writable => Alias::ReadWrite,
        Protection::NoAccess => Alias::Absent,
        Protection::ReadOnly | Protection::ReadExecute => Alias::ReadOnly,
        Protection::ReadWrite => Alias::ReadWrite,
    }
}

/// The leaf that memory is given out in where it is given out in bulk: the smallest of at least 1 MiB.
pub(crate) fn large_page(machine: &Machine) -> PageSize {
    let large = machine.leaves().find(|size| *size >= PageSize::mib(1));
    large.or(machine.leaves().last()).unwrap_or(machine.page())
}

impl State {
    pub(crate) fn new(machine: &Machine, options: &Options) -> Self {
        let page = machine.page().bytes();
        let memory = Memory::new(page, options.nodes.max(1), options.bytes_per_node / page);
        let direct = options.direct_leaf.map(|leaf| DirectMap::new(machine, memory.frames(), leaf, options.merge));
        let unit = large_page(machine);
        let is_unmapped = options.is_unmapped && direct.is_some();
        State {
            machine: *machine,
            memory,
            paging: Paging::default(),
            direct,
            cache: is_unmapped.then(|| UnmappedCache::new(unit.log2() - machine.page().log2())),
            tlbs: (0..options.processors.max(1)).map(|_| Tlb::new(&options.processor)).collect(),
            faults: Faults::default(),
            counts: Counts::default(),
            unsynced: Unsynced::default(),
        }
    }

    /// Takes frames in a row from where frames come from.
    pub(crate) fn take_frames(&mut self, count: u64, node: usize) -> Option<Frame> {
        let State { cache, memory, direct, .. } = self;
        let (Some(cache), Some(direct)) = (cache, direct) else { return memory.take(count, node) };
        let mut change = DirectChange::default();
        let frame = cache.take(count, node, memory, direct, &mut change);
        self.count_direct(change);
        frame
    }

    /// Gives them back.
    pub(crate) fn give_frames(&mut self, first: Frame, count: u64) {
        match &mut self.cache {
            Some(cache) => cache.give(first, count),
            None => self.memory.give_back(first, count),
        }
    }

    /// Counts what happened to the direct map, and flushes for it.
    pub(crate) fn count_direct(&mut self, change: DirectChange) {
        self.counts.direct_splits += change.splits;
        self.counts.direct_merges += change.merges;
        self.counts.direct_drifts += change.drifts;
        self.flush(change.splits + change.merges);
    }

    /// Flushes the translations of all processors, so many times.
    pub(crate) fn flush(&mut self, times: u64) {
        self.counts.global_flushes += times;
        if times > 0 {
            self.tlbs.iter_mut().for_each(Tlb::flush);
        }
    }

    /// Changes the alias of frames. Returns whether anything changed, which the caller flushes for.
    pub(crate) fn set_alias(&mut self, first: Frame, count: u64, alias: Alias) -> bool {
        // Frames of the cache have no alias at all.
        let (Some(direct), None) = (&mut self.direct, &self.cache) else { return false };
        let change = direct.set(first, count, alias);
        self.count_direct(change);
        change.leaves > 0
    }

    fn frames_of(&self, size: PageSize) -> u64 {
        size.bytes() / self.memory.frame_bytes()
    }

    pub(crate) fn map(&mut self, mapping: &Mapping, owner: Owner, node: usize) -> Result<(), BackendError> {
        let Mapping { extent, page, .. } = *mapping;
        if !extent.is_aligned(page.bytes()) || !self.machine.leaves().any(|leaf| leaf == page) {
            return Err(BackendError::NotPages { extent, page });
        }
        if self.paging.overlaps(extent) {
            return Err(BackendError::AlreadyMapped { extent });
        }
        self.faults.check_pages(page, self.machine.page(), extent.len() / page.bytes())?;
        let per_leaf = self.frames_of(page);
        let alias = alias_of(mapping.protection, mapping.is_writable_and_executable);
        let mut has_changed = false;
        let mut rest = Some(extent);
        while let Some(part) = rest {
            let Some(frame) = self.take_frames(per_leaf, node) else {
                let mapped = extent.part(0, part.start() - extent.start());
                mapped.into_iter().for_each(|mapped| self.release(mapped));
                return Err(BackendError::OutOfMemory { len: extent.len(), page });
            };
            // The content is there before the leaf is, and the alias loses rights before the leaf has them: laws 2, 3.
            self.memory.fill(frame, per_leaf, mapping.unused);
            has_changed |= self.set_alias(frame, per_leaf, alias);
            let leaf = Leaf {
                size: page,
                frame,
                protection: mapping.protection,
                rights: mapping.rights,
                is_writable_and_executable: mapping.is_writable_and_executable,
                owner,
            };
            let whole = part.part(0, page.bytes()).unwrap_or(part);
            self.paging.insert(whole, per_leaf, leaf);
            rest = part.part(page.bytes(), part.len() - page.bytes());
        }
        self.counts.maps += u64::from(owner == Owner::Engine);
        self.flush(u64::from(has_changed));
        Ok(())
    }

    /// Removes the leaves of an extent and gives their frames back, writable in the direct map as before.
    fn release(&mut self, extent: Extent) {
        for (start, leaf) in self.paging.leaves_of(extent).unwrap_or_default() {
            self.paging.remove(start);
            let count = self.frames_of(leaf.size);
            self.memory.forget(leaf.frame, count);
            self.set_alias(leaf.frame, count, Alias::ReadWrite);
            self.give_frames(leaf.frame, count);
        }
        self.unsynced.forget(extent);
    }

    /// The leaves of an extent, all of which belong to the engine.
    pub(crate) fn own_leaves(&self, extent: Extent) -> Result<Vec<(u64, Leaf)>, BackendError> {
        let leaves = self.paging.leaves_of(extent)?;
        match leaves.iter().find(|(_, leaf)| leaf.owner != Owner::Engine) {
            Some(&(address, _)) => Err(BackendError::NotMapped { address }),
            None => Ok(leaves),
        }
    }

    pub(crate) fn unmap(&mut self, extent: Extent) -> Result<(), BackendError> {
        let leaves = self.own_leaves(extent)?;
        let is_whole = leaves
            .iter()
            .all(|&(start, leaf)| Extent::new(start, leaf.size.bytes()).is_some_and(|whole| extent.covers(whole)));
        if !is_whole {
            return Err(BackendError::NotPages { extent, page: leaves[0].1.size });
        }
        self.release(extent);
        self.counts.unmaps += 1;
        self.flush(1);
        Ok(())
    }

    pub(crate) fn protect(&mut self, extent: Extent, protection: Protection) -> Result<(), BackendError> {
        let leaves = self.own_leaves(extent)?;
        if let Some((_, leaf)) = leaves.iter().find(|(_, leaf)| !leaf.rights.contain(protection)) {
            return Err(BackendError::NeverAllowed { extent, rights: leaf.rights, protection });
        }
        let changed = self.paging.protect(&self.machine, extent, protection)?;
        self.counts.permission_changes += changed.leaves;
        self.counts.splits += changed.splits;
        for (_, leaf) in self.paging.leaves_of(extent)? {
            let alias = alias_of(protection, leaf.is_writable_and_executable);
            self.set_alias(leaf.frame, self.frames_of(leaf.size), alias);
        }
        self.flush(u64::from(changed.leaves > 0) + changed.splits);
        Ok(())
    }

    pub(crate) fn collapse(&mut self, extent: Extent, page: PageSize, relocate: Relocate) -> Result<(), BackendError> {
        let leaves = self.own_leaves(extent)?;
        if !extent.is_aligned(page.bytes()) || !self.machine.leaves().any(|leaf| leaf == page) {
            return Err(BackendError::NotPages { extent, page });
        }
        let (_, first) = leaves[0];
        let agree = |leaf: &Leaf| leaf.protection == first.protection && leaf.rights == first.rights;
        if let Some(&(address, odd)) = leaves.iter().find(|(_, leaf)| !agree(leaf)) {
            return Err(BackendError::Denied { address, protection: odd.protection });
        }
        let units = extent.len() / page.bytes();
        let (in_place, moved): (Vec<_>, Vec<_>) = (0..units)
            .filter_map(|index| extent.part(index * page.bytes(), page.bytes()))
            .partition(|unit| self.is_one_block(*unit));
        if relocate == Relocate::Never && !moved.is_empty() {
            return Err(BackendError::PageUnavailable { page });
        }
        self.faults.check_pages(page, self.machine.page(), moved.len() as u64)?;
        let taken = self.take_units(&moved, page)?;
        for (unit, frame) in moved.iter().zip(taken) {
            self.relocate(*unit, frame);
        }
        for unit in in_place.into_iter().chain(moved) {
            let Some((_, leaf)) = self.paging.find(unit.start()) else { continue };
            self.paging.leaves_of(unit)?.into_iter().for_each(|(start, _)| self.paging.remove(start));
            self.paging.insert(unit, self.frames_of(page), Leaf { size: page, ..leaf });
        }
        self.counts.merges += 1;
        self.flush(1);
        Ok(())
    }

    /// Whether the frames behind a unit lie in a row, aligned as one large leaf wants them.
    fn is_one_block(&self, unit: Extent) -> bool {
        let Ok(leaves) = self.paging.leaves_of(unit) else { return false };
        let (_, Leaf { frame: first, .. }) = leaves[0];
        let frame_of = |address: u64| first + (address - unit.start()) / self.memory.frame_bytes();
        (first * self.memory.frame_bytes()).is_multiple_of(unit.len())
            && leaves.iter().all(|&(start, leaf)| leaf.frame == frame_of(start))
    }

    /// New frames for each unit, or none.
    fn take_units(&mut self, units: &[Extent], page: PageSize) -> Result<Vec<Frame>, BackendError> {
        let count = self.frames_of(page);
        let mut taken = Vec::new();
        for unit in units {
            let Some(frame) = self.take_frames(count, 0) else {
                taken.into_iter().for_each(|frame| self.give_frames(frame, count));
                return Err(BackendError::OutOfMemory { len: unit.len(), page });
            };
            taken.push(frame);
        }
        Ok(taken)
    }

    /// Moves the content of a unit to frames in a row.
    fn relocate(&mut self, unit: Extent, to: Frame) {
        let frame_bytes = self.memory.frame_bytes();
        for (start, leaf) in self.paging.leaves_of(unit).unwrap_or_default() {
            let (count, target) = (self.frames_of(leaf.size), to + (start - unit.start()) / frame_bytes);
            (0..count).for_each(|index| self.memory.move_content(leaf.frame + index, target + index));
            self.set_alias(leaf.frame, count, Alias::ReadWrite);
            self.give_frames(leaf.frame, count);
            if let Some(whole) = Extent::new(start, leaf.size.bytes()) {
                self.paging.insert(whole, count, Leaf { frame: target, ..leaf });
            }
        }
        if let Some((_, leaf)) = self.paging.find(unit.start()) {
            let alias = alias_of(leaf.protection, leaf.is_writable_and_executable);
            self.set_alias(to, unit.len() / frame_bytes, alias);
        }
    }

    pub(crate) fn wx_bytes(&self) -> u64 {
        let aliases = |leaf: &Leaf| {
            let (Some(direct), None) = (&self.direct, &self.cache) else { return 0 };
            let frames = leaf.frame..leaf.frame + self.frames_of(leaf.size);
            let is_writable =
                |frame: &Frame| direct.leaf_of(*frame).is_some_and(|(_, _, alias)| alias == Alias::ReadWrite);
            frames.filter(is_writable).count() as u64 * self.memory.frame_bytes()
        };
        let both = |leaf: &Leaf| match leaf.protection {
            _ if leaf.is_writable_and_executable => leaf.size.bytes(),
            Protection::ReadExecute if leaf.owner == Owner::Engine => aliases(leaf),
            _ => 0,
        };
        self.paging.iter().map(|(_, leaf)| both(leaf)).sum()
    }
}
