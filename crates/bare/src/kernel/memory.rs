//! The port: memory of this kernel as execmem wants it.
//!
//! It needs three things of the kernel: frames (`frames.rs`), page tables (`tables.rs`), and a way to make all processors
//! forget translations (`processors.rs`). What is done with them, in which order, is all here; the order is what the laws
//! of [`Backend`] are about.
//!
//! - *Fill, then give rights* (law 3): leaves lead to new frames without rights until the frames are filled.
//! - *Take rights, flush, give rights* (laws 2 and 4): nothing can be written, at any address, when execution becomes
//!   possible at one. The map of all memory has such addresses, so its rights change too.
//! - *Flush, then free* (laws 4 and 6): a frame is used again when no processor holds a way to it. A flush waits for
//!   processors without interrupts, so those can walk tables and copy bytes without a lock.
//! - *Ask, then change* (law 1): whatever can be refused comes before anything that a processor can see.

use execmem_types::{Access, Backend, BackendError, Extent, Mapping, PageSize, Protection, Rights, SyncScope, Trap};

use super::arch::{self, DIRECT};
use super::bytes::{copy_frame, copy_in, copy_out, fill, pages, parts, range, store_again};
use super::frames::{self, LARGE, SMALL, Use};
use super::locks::Guarded;
use super::processors::{self, alone, flush_everything, without_interrupts};
use super::tables::{self, Leaf, NoFrame};

type Answer<T = ()> = Result<T, BackendError>;

/// Memory at some addresses of this kernel.
#[derive(Debug)]
pub(crate) struct KernelMemory {
    /// Addresses that nothing else uses.
    managed: &'static [Extent],
    /// Held by calls that change leaves, one at a time.
    changing: Guarded<()>,
}

impl Backend for KernelMemory {
    fn map(&self, mapping: &Mapping) -> Answer {
        let Mapping { extent, page, protection, .. } = *mapping;
        let has_pages = extent.is_aligned(page.bytes()) && [SMALL, LARGE].contains(&page);
        if !has_pages {
            return Err(BackendError::NotPages { extent, page });
        }
        if mapping.is_writable_and_executable {
            return Err(BackendError::Unsupported);
        }
        if !self.managed.iter().any(|managed| managed.covers(extent)) {
            return Err(BackendError::NotMapped { address: extent.start() });
        }
        self.changing.with(|()| {
            if parts(extent, SMALL).any(|part| tables::find(part.start()).is_some()) {
                return Err(BackendError::AlreadyMapped { extent });
            }
            for part in parts(extent, page) {
                if let Err(NoFrame) = add_leaf(mapping, part) {
                    let before = extent.part(0, part.start() - extent.start());
                    before.into_iter().for_each(release);
                    return Err(BackendError::OutOfMemory { len: extent.len(), page });
                }
            }
            change(extent, protection);
            Ok(())
        })
    }

    fn unmap(&self, extent: Extent) -> Answer {
        self.changing.with(|()| {
            self.check_owned(extent)?;
            match leaves(extent).find(|leaf| !extent.covers(leaf.extent)) {
                Some(leaf) => Err(BackendError::NotPages { extent, page: leaf.page() }),
                None => {
                    release(extent);
                    Ok(())
                }
            }
        })
    }

    fn protect(&self, extent: Extent, protection: Protection) -> Answer {
        if !extent.is_aligned(SMALL.bytes()) {
            return Err(BackendError::NotPages { extent, page: SMALL });
        }
        self.changing.with(|()| {
            self.check_owned(extent)?;
            let rights = leaves(extent).map(|leaf| rights_of(&leaf)).find(|rights| !rights.contain(protection));
            if let Some(rights) = rights {
                return Err(BackendError::NeverAllowed { extent, rights, protection });
            }
            let divided = divide_around(extent)
                .and_then(|()| leaves(extent).try_for_each(|leaf| divide_around(direct(leaf.physical, leaf.page()))));
            divided.map_err(|NoFrame| BackendError::OutOfMemory { len: SMALL.bytes(), page: SMALL })?;
            change(extent, protection);
            Ok(())
        })
    }

    fn write(&self, access: Access, address: u64, bytes: &[u8]) -> Answer {
        let Some(extent) = Extent::new(address, bytes.len() as u64) else { return Ok(()) };
        self.write_pages(access, extent, |to, part| copy_in(to, &bytes[range(part, address)]))
    }

    fn fill(&self, access: Access, extent: Extent, pattern: Trap) -> Answer {
        self.write_pages(access, extent, |to, part| fill(to, part, pattern))
    }

    fn read(&self, address: u64, bytes: &mut [u8]) -> Answer {
        let Some(extent) = Extent::new(address, bytes.len() as u64) else { return Ok(()) };
        let may_read = |leaf: &Leaf| leaf.protection != Protection::NoAccess;
        pages(extent).try_for_each(|part| self.physical(part, may_read).map(drop))?;
        pages(extent).try_for_each(|part| {
            without_interrupts(|| {
                let (physical, _) = self.physical(part, may_read)?;
                copy_out(physical, &mut bytes[range(part, address)]);
                Ok(())
            })
        })
    }

    fn sync_code(&self, extent: Extent, scope: SyncScope) -> Answer {
        for part in pages(extent) {
            let (physical, _) = self.physical(part, |_| true)?;
            arch::sync_instructions(DIRECT + physical, part);
        }
        if scope == SyncScope::Live {
            // For QEMU, which may have translated for another processor what stood here a moment before it was stored. Once
            // more, and it looks again.
            self.write_pages(Access::Poke, extent, store_again)?;
        }
        if scope != SyncScope::Fresh || arch::FRESH_CODE_IS_TOLD {
            processors::serialize();
        }
        Ok(())
    }

    fn collapse(&self, extent: Extent, page: PageSize) -> Answer {
        if page != LARGE || !extent.is_aligned(LARGE.bytes()) {
            return Err(BackendError::NotPages { extent, page });
        }
        self.changing.with(|()| {
            self.check_owned(extent)?;
            let Some(first) = leaves(extent).next() else { return Ok(()) };
            let differs = |leaf: &Leaf| leaf.protection != first.protection || rights_of(leaf) != rights_of(&first);
            match leaves(extent).find(differs) {
                Some(Leaf { extent, protection, .. }) => {
                    Err(BackendError::Denied { address: extent.start(), protection })
                }
                None => collapse_units(extent, first.protection, rights_of(&first)),
            }
        })
    }

    fn adopt(&self, extent: Extent, protection: Protection) -> Answer {
        self.changing.with(|()| {
            for part in pages(extent) {
                let address = part.start();
                let leaf = tables::find(address).ok_or(BackendError::NotMapped { address })?;
                let is_image = frames::used_for(leaf.physical_of(address)) == Use::Kernel;
                if !is_image || leaf.protection != protection {
                    return Err(BackendError::Denied { address, protection: leaf.protection });
                }
            }
            for part in pages(extent) {
                let leaf = tables::find(part.start());
                leaf.into_iter().for_each(|leaf| frames::set_use(leaf.physical_of(part.start()), SMALL, Use::Adopted));
            }
            Ok(())
        })
    }
}

impl KernelMemory {
    pub(crate) const fn new(managed: &'static [Extent]) -> Self {
        KernelMemory { managed, changing: Guarded::new(()) }
    }

    /// The leaf of an address, if the engine mapped it.
    fn owned(&self, address: u64) -> Answer<Leaf> {
        let leaf = tables::find(address).filter(|_| self.managed.iter().any(|extent| extent.contains(address)));
        leaf.ok_or(BackendError::NotMapped { address })
    }

    /// Finds the first address of an extent that the engine did not map.
    fn check_owned(&self, extent: Extent) -> Answer {
        parts(extent, SMALL).try_for_each(|part| self.owned(part.start()).map(drop))
    }

    /// The physical address of a part of a page, if it is mapped or adopted and its leaf is `allowed`; and whether the map
    /// of all memory can be written there.
    fn physical(&self, part: Extent, allowed: impl Fn(&Leaf) -> bool) -> Answer<(u64, bool)> {
        let address = part.start();
        let is_adopted = |leaf: &Leaf| frames::used_for(leaf.physical_of(address)) == Use::Adopted;
        let adopted = || tables::find(address).filter(|_| tables::is_image(address)).filter(is_adopted);
        let leaf = self.owned(address).or_else(|refused| adopted().ok_or(refused))?;
        if !allowed(&leaf) {
            return Err(BackendError::Denied { address, protection: leaf.protection });
        }
        Ok((leaf.physical_of(address), is_written_directly(leaf.protection)))
    }

    /// Runs `body` for each page of an extent with a pointer through which its bytes can be written.
    fn write_pages(&self, access: Access, extent: Extent, body: impl Fn(*mut u8, Extent)) -> Answer {
        let may_write = |leaf: &Leaf| access == Access::Poke || leaf.protection.is_writable();
        pages(extent).try_for_each(|part| self.physical(part, may_write).map(drop))?;
        pages(extent).try_for_each(|part| {
            without_interrupts(|| {
                match self.physical(part, may_write)? {
                    (physical, true) => body(frames::bytes_of(physical), part),
                    (physical, false) => tables::with_poke(physical, |to| body(to, part)),
                }
                Ok(())
            })
        })
    }
}

/// Leads a leaf without rights to a new frame that holds the pattern of unused memory.
fn add_leaf(mapping: &Mapping, extent: Extent) -> Result<(), NoFrame> {
    let frame = frames::take(mapping.page, Use::Memory(mapping.rights)).ok_or(NoFrame)?;
    fill(frames::bytes_of(frame), extent, mapping.unused);
    let added = divide_around(direct(frame, mapping.page)).and_then(|()| tables::insert(extent, frame, mapping.page));
    added.inspect_err(|NoFrame| give_frame(frame, mapping.page))
}

/// Takes what rights leaves shall not have, at every address, and then gives those they shall have.
fn change(extent: Extent, protection: Protection) {
    for leaf in leaves(extent) {
        tables::set(&leaf, in_both(leaf.protection, protection));
        if !is_written_directly(protection) {
            set_direct(leaf.physical, leaf.page(), protection);
        }
    }
    flush_everything();
    for leaf in leaves(extent) {
        tables::set(&leaf, protection);
        set_direct(leaf.physical, leaf.page(), protection);
    }
    flush_everything();
}

/// Unmaps whole leaves.
fn release(extent: Extent) {
    change(extent, Protection::NoAccess);
    for leaf in leaves(extent) {
        tables::remove(&leaf);
        give_frame(leaf.physical, leaf.page());
    }
}

/// Makes each large page of an extent one leaf. What can be refused comes first: frames are taken on the way down.
fn collapse_units(extent: Extent, protection: Protection, rights: Rights) -> Answer {
    let no_memory = BackendError::OutOfMemory { len: LARGE.bytes(), page: LARGE };
    let frame = frames::take(LARGE, Use::Memory(rights)).ok_or(no_memory)?;
    if let Some(rest) = extent.part(LARGE.bytes(), extent.len() - LARGE.bytes()) {
        collapse_units(rest, protection, rights).inspect_err(|_| frames::give(frame, LARGE))?;
    }
    let unit = parts(extent, LARGE).next().unwrap_or(extent);
    if tables::find(unit.start()).is_some_and(|leaf| leaf.page() == LARGE) {
        frames::give(frame, LARGE);
    } else {
        collapse_unit(unit, frame, protection);
    }
    Ok(())
}

/// Moves what small leaves hold to a large frame, and leads one leaf to it.
fn collapse_unit(unit: Extent, frame: u64, protection: Protection) {
    // Other processors wait: what they store would be lost, and what they execute must not vanish.
    let table = alone(|| {
        for leaf in leaves(unit) {
            copy_frame(leaf.physical, frame + (leaf.extent.start() - unit.start()));
        }
        set_direct(frame, LARGE, protection);
        tables::replace(unit, frame, protection)
    });
    let small_frames = || tables::leaves_of(table);
    small_frames().for_each(|frame| set_direct(frame, SMALL, Protection::ReadWrite));
    flush_everything();
    small_frames().for_each(|frame| give_frame(frame, SMALL));
    frames::give(table, SMALL);
}

/// Gives back a frame that can be written through the map of all memory, and that nothing else leads to.
fn give_frame(frame: u64, page: PageSize) {
    frames::give(frame, page);
    tables::unite(direct(frame, page).start());
}

/// Whether the map of all memory can be written where memory with these rights is.
fn is_written_directly(protection: Protection) -> bool {
    !matches!(protection, Protection::ReadOnly | Protection::ReadExecute)
}

/// Changes the rights of a frame in the map of all memory.
fn set_direct(frame: u64, page: PageSize, protection: Protection) {
    let is_written = is_written_directly(protection);
    let rights = if is_written { Protection::ReadWrite } else { Protection::ReadOnly };
    leaves(direct(frame, page)).for_each(|leaf| tables::set(&leaf, rights));
}

/// A frame in the map of all memory.
fn direct(frame: u64, page: PageSize) -> Extent {
    Extent::new(DIRECT + frame, page.bytes()).expect("memory is mapped")
}

/// What is allowed by both.
fn in_both(one: Protection, other: Protection) -> Protection {
    match (one, other) {
        (Protection::NoAccess, _) | (_, Protection::NoAccess) => Protection::NoAccess,
        _ if one == other => one,
        _ => Protection::ReadOnly,
    }
}

/// The rights that the mapping of a leaf named.
fn rights_of(leaf: &Leaf) -> Rights {
    match frames::used_for(leaf.physical) {
        Use::Memory(rights) => rights,
        _ => Rights::only(leaf.protection),
    }
}

/// Divides leaves until none lies partly in an extent.
fn divide_around(extent: Extent) -> Result<(), NoFrame> {
    tables::divide_at(extent.start())?;
    extent.last().checked_add(1).map_or(Ok(()), tables::divide_at)
}

/// The leaves of an extent up to the first gap.
fn leaves(extent: Extent) -> impl Iterator<Item = Leaf> {
    let mut next = Some(extent.start());
    core::iter::from_fn(move || {
        let leaf = tables::find(next.filter(|address| extent.contains(*address))?)?;
        next = leaf.extent.last().checked_add(1);
        Some(leaf)
    })
}
