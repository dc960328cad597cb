//! Page tables: leaves of every size, divided and united.
//!
//! Entries are words that any processor may read at any time. A thread that changes them holds the lock of the memory they are of, and
//! tells processors. Tables stay when they are empty, for the next leaves; one that a large leaf replaces is freed by the
//! caller, which knows when no processor walks it any more.

use core::sync::atomic::{AtomicU64, Ordering};

use execmem_types::{Extent, PageSize, Protection};

use super::arch::{self, DEVICES, DIRECT, IMAGE_OFFSET, LEVELS, RAM};
use super::frames::{self, LARGE, SMALL, Use};
use super::processors::{flush, own_number};

/// Entries of a table.
const ENTRIES: usize = 512;

/// The table that everything begins at, by its physical address.
static ROOT: AtomicU64 = AtomicU64::new(0);

/// There is no frame for a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NoFrame;

/// A leaf.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Leaf {
    pub(crate) extent: Extent,
    pub(crate) physical: u64,
    pub(crate) protection: Protection,
    level: usize,
}

impl Leaf {
    /// The physical address that an address in the leaf leads to.
    pub(crate) fn physical_of(&self, address: u64) -> u64 {
        self.physical + (address - self.extent.start())
    }

    /// Its size.
    pub(crate) fn page(&self) -> PageSize {
        size(self.level)
    }
}

/// The size of leaves at a level.
fn size(level: usize) -> PageSize {
    PageSize::from_log2(12 + 9 * level as u8)
}

/// The level of leaves of a size.
fn level_of(page: PageSize) -> usize {
    if page == SMALL { 0 } else { 1 }
}

fn entry(table: u64, index: usize) -> &'static AtomicU64 {
    // SAFETY: tables are frames of 512 entries, which the map of all memory shows, and tables are freed only when no
    // processor walks them.
    unsafe { &*frames::bytes_of(table).cast::<AtomicU64>().wrapping_add(index) }
}

/// The entry for an address in the table of a level.
fn entry_for(table: u64, level: usize, address: u64) -> &'static AtomicU64 {
    entry(table, (address >> size(level).log2()) as usize % ENTRIES)
}

/// The entry that an address leads to, which is no table, and its level.
fn walk(address: u64) -> (&'static AtomicU64, usize) {
    let (mut table, mut level) = (ROOT.load(Ordering::Acquire), LEVELS - 1);
    loop {
        let found = entry_for(table, level, address);
        let word = found.load(Ordering::Acquire);
        if !arch::is_table(word, level) {
            return (found, level);
        }
        (table, level) = (arch::address(word), level - 1);
    }
}

/// The leaf that maps an address.
pub(crate) fn find(address: u64) -> Option<Leaf> {
    let (found, level) = walk(address);
    let word = found.load(Ordering::Acquire);
    let start = size(level).round_down(address);
    let extent = Extent::new(start, size(level).bytes())?;
    (word != 0).then(|| Leaf { extent, physical: arch::address(word), protection: arch::protection(word), level })
}

/// The entry of a level for an address, with tables down to it.
fn entry_at(level: usize, address: u64) -> Result<&'static AtomicU64, NoFrame> {
    loop {
        let (found, at) = walk(address);
        if at <= level {
            return Ok(if at == level { found } else { entry_above(level, address) });
        }
        let table = frames::take(SMALL, Use::Table).ok_or(NoFrame)?;
        (0..ENTRIES).for_each(|index| entry(table, index).store(0, Ordering::Relaxed));
        found.store(arch::table(table), Ordering::Release);
    }
}

/// The entry of a level for an address where a table of a lower level is.
fn entry_above(level: usize, address: u64) -> &'static AtomicU64 {
    let mut table = ROOT.load(Ordering::Acquire);
    for above in (level + 1..LEVELS).rev() {
        table = arch::address(entry_for(table, above, address).load(Ordering::Acquire));
    }
    entry_for(table, level, address)
}

/// Puts a leaf without rights where nothing is. An empty table in its place goes.
pub(crate) fn insert(extent: Extent, physical: u64, page: PageSize) -> Result<(), NoFrame> {
    let level = level_of(page);
    let found = entry_at(level, extent.start())?;
    let before = found.swap(arch::leaf(physical, level, Protection::NoAccess), Ordering::AcqRel);
    if arch::is_table(before, level) {
        flush(extent);
        frames::give(arch::address(before), SMALL);
    }
    Ok(())
}

/// Takes a leaf away. Processors still hold it.
pub(crate) fn remove(leaf: &Leaf) {
    walk(leaf.extent.start()).0.store(0, Ordering::Release);
}

/// Changes the rights of a leaf. Processors still hold those of before.
pub(crate) fn set(leaf: &Leaf, protection: Protection) {
    let word = arch::leaf(leaf.physical, leaf.level, protection);
    walk(leaf.extent.start()).0.store(word, Ordering::Release);
}

/// Divides leaves until one begins at an address, or none is there.
pub(crate) fn divide_at(address: u64) -> Result<(), NoFrame> {
    while let Some(leaf) = find(address).filter(|leaf| leaf.extent.start() != address) {
        let table = frames::take(SMALL, Use::Table).ok_or(NoFrame)?;
        for index in 0..ENTRIES {
            let physical = leaf.physical + index as u64 * size(leaf.level - 1).bytes();
            entry(table, index).store(arch::leaf(physical, leaf.level - 1, leaf.protection), Ordering::Relaxed);
        }
        // In one step from the leaf to the same as small ones: processors with either see the same memory. (Arm: level 2
        // of FEAT_BBM.)
        walk(address).0.store(arch::table(table), Ordering::Release);
    }
    Ok(())
}

/// The frames that the small leaves of a table lead to.
pub(crate) fn leaves_of(table: u64) -> impl Iterator<Item = u64> {
    let words = (0..ENTRIES).map(move |index| entry(table, index).load(Ordering::Acquire));
    words.filter(|word| *word != 0).map(arch::address)
}

/// Replaces the table of small leaves at a large page by one leaf, and returns the table, which processors may still hold.
pub(crate) fn replace(extent: Extent, physical: u64, protection: Protection) -> u64 {
    let found = entry_above(1, extent.start());
    let table = found.swap(arch::leaf(physical, 1, protection), Ordering::AcqRel);
    arch::publish_entries();
    arch::address(table)
}

/// Unites small leaves that lead to a large page in order and with equal rights.
pub(crate) fn unite(address: u64) {
    let Some(extent) = Extent::new(LARGE.round_down(address), LARGE.bytes()) else { return };
    let Some(first) = find(extent.start()).filter(|first| first.level == 0) else { return };
    let follows = |place: u64| {
        let physical = first.physical + (place - extent.start());
        find(place).is_some_and(|leaf| leaf.physical == physical && leaf.protection == first.protection)
    };
    if first.physical % LARGE.bytes() == 0 && (extent.start()..=extent.last()).step_by(4096).all(follows) {
        let table = replace(extent, first.physical, first.protection);
        flush(extent);
        frames::give(table, SMALL);
    }
}

/// Maps the page of a physical address for a moment, writable, for the processor that calls and has no interrupts.
pub(crate) fn with_poke(physical: u64, body: impl FnOnce(*mut u8)) {
    let address = poke_address(own_number() as u64);
    let set = |word| {
        walk(address).0.store(word, Ordering::Release);
        arch::publish_entries();
        arch::flush_page(address);
    };
    set(arch::leaf(SMALL.round_down(physical), 0, Protection::ReadWrite));
    body((address + physical % SMALL.bytes()) as *mut u8);
    set(EMPTY_POKE);
}

/// Where a processor does that: behind the map of all memory.
fn poke_address(processor: u64) -> u64 {
    DIRECT + RAM.start() + RAM.len() + processor * LARGE.bytes()
}

/// What stands there between: a leaf that forbids everything.
const EMPTY_POKE: u64 = arch::leaf(0, 0, Protection::NoAccess);

unsafe extern "C" {
    static image_start: u8;
    static text_end: u8;
    static constants_start: u8;
    static data_start: u8;
    static image_end: u8;
}

/// Parts of the image and their rights. Each is whole large pages.
pub(crate) fn image() -> [(Extent, Protection); 3] {
    let bounds = [&raw const image_start, &raw const constants_start, &raw const data_start, &raw const image_end];
    let part = |index: usize| Extent::between(bounds[index] as u64, bounds[index + 1] as u128).expect("addresses");
    [(part(0), Protection::ReadExecute), (part(1), Protection::ReadOnly), (part(2), Protection::ReadWrite)]
}

/// What is left of the last page of text: executable, and nothing is there.
pub(crate) fn slack() -> Option<Extent> {
    let end = SMALL.round_up(&raw const text_end as u64)?;
    Extent::between(end, image()[0].0.end())
}

/// Whether an address is in the image.
pub(crate) fn is_image(address: u64) -> bool {
    image().iter().any(|(extent, _)| extent.contains(address))
}

/// Makes the tables of this kernel, with rights for everything, and uses them.
pub(crate) fn start() {
    for (extent, _) in image() {
        (extent.start()..=extent.last())
            .step_by(LARGE.bytes() as usize)
            .for_each(|start| frames::set_use(start - IMAGE_OFFSET, LARGE, Use::Kernel));
    }
    // The first frames hold what the firmware and the start of processors leave there.
    frames::set_use(RAM.start(), LARGE, Use::Kernel);
    let root = frames::take(SMALL, Use::Table).expect("a frame");
    (0..ENTRIES).for_each(|index| entry(root, index).store(0, Ordering::Relaxed));
    ROOT.store(root, Ordering::Release);
    let map = |address: u64, word: u64| entry_at(1, address).expect("frames").store(word, Ordering::Relaxed);
    for physical in (RAM.start()..=RAM.last()).step_by(LARGE.bytes() as usize) {
        let part = image().into_iter().find(|(extent, _)| extent.contains(physical + IMAGE_OFFSET));
        if let Some((_, protection)) = part {
            map(physical + IMAGE_OFFSET, arch::leaf(physical, 1, protection));
        }
        let is_data = part.is_none_or(|(_, protection)| protection.is_writable());
        let rights = if is_data { Protection::ReadWrite } else { Protection::ReadOnly };
        map(DIRECT + physical, arch::leaf(physical, 1, rights));
    }
    for device in DEVICES {
        let physical = LARGE.round_down(*device);
        map(DIRECT + physical, arch::device(physical, 1));
    }
    for number in 0..2 {
        entry_at(0, poke_address(number)).expect("frames").store(EMPTY_POKE, Ordering::Relaxed);
    }
    use_on_this_processor();
}

/// Uses these tables on the processor that calls.
pub(crate) fn use_on_this_processor() {
    arch::set_root(ROOT.load(Ordering::Acquire));
}
