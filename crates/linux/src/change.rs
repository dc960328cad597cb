//! How the mappings of a window change: map, unmap, protect, collapse. One at a time.

use std::sync::atomic::Ordering;

use execmem_types::{BackendError, Extent, Mapping, PageSize, Protection, Trap};
use rustix::io::Errno;

use crate::file::secret_file;
use crate::fork;
use crate::grow::{make_large, memory_for};
use crate::host::LARGE;
use crate::limits;
use crate::material::{Backing, Material};
use crate::page::Page;
use crate::proc_mem;
use crate::twice::Fresh;
use crate::unit::{UNIT_BYTES, Unit};
use crate::view::Part;
use crate::window::{Window, file_error};

/// What a unit begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Start {
    /// Some small pages.
    Small,
    /// One large page, or small pages if there is none.
    Large,
    /// A large page of the reserved pool, which is there already.
    Reserved,
}

/// What an error number means to the engine.
pub(crate) fn refusal(errno: Errno, extent: Extent, page: PageSize) -> BackendError {
    match errno {
        Errno::NOMEM if limits::has_no_mapping_left() => BackendError::MappingLimit,
        Errno::NOMEM | Errno::NOSPC | Errno::AGAIN => BackendError::OutOfMemory { len: extent.len(), page },
        Errno::FBIG => BackendError::FileSizeLimit { bytes: extent.len() },
        other => file_error(other),
    }
}

impl Window {
    /// Maps fresh memory.
    pub(crate) fn map(&self, mapping: &Mapping) -> Result<(), BackendError> {
        let Mapping { extent, page, .. } = *mapping;
        self.check_caller()?;
        self.record.check_whole(extent, page)?;
        let _changing = self.change();
        if !self.record.is_absent(extent) {
            return Err(BackendError::AlreadyMapped { extent });
        }
        let is_large = page == LARGE && page != self.record.page();
        let start = if is_large && self.starts_large(mapping) { Start::Large } else { Start::Small };
        for part in self.record.by_unit(extent) {
            if let Err(refused) = self.map_in_unit(part, mapping, is_large, start) {
                if let Some(begun) = Extent::between(extent.start(), part.end()) {
                    let _ = self.home.reset(self.record.part(begun));
                    self.forget(begun);
                }
                return Err(refused);
            }
        }
        Ok(())
    }

    /// Whether a fresh unit should be a large page at once: the process fills units of the class. Enlarges those that
    /// should be large and are not.
    fn starts_large(&self, mapping: &Mapping) -> bool {
        let is_same = |extent: &Extent| self.record.page_at(extent.start()).rights() == Some(mapping.protection);
        let same = || self.record.units().filter(|(extent, _)| is_same(extent));
        for (extent, unit) in same().filter(|(_, unit)| unit.is_owed()) {
            unit.set_owed(self.enlarge(extent).is_err());
        }
        let is_large = |extent: Extent| self.record.page_at(extent.start()).backing() != Some(Backing::Small);
        self.means.starts_large || same().any(|(extent, _)| is_large(extent))
    }

    /// Maps the part of a mapping that lies in one unit.
    fn map_in_unit(&self, part: Extent, mapping: &Mapping, is_large: bool, start: Start) -> Result<(), BackendError> {
        let page = mapping.page;
        let out_of_memory = BackendError::OutOfMemory { len: part.len(), page };
        let unit = self.record.make_unit(part.start()).ok_or(out_of_memory)?;
        if self.map_prepared(unit, part, mapping)? {
            return Ok(());
        }
        let material = self.means.material(mapping);
        if is_large && matches!(material, Material::Secret | Material::SecretFile) {
            return Err(BackendError::PageUnavailable { page });
        }
        if part.len() == UNIT_BYTES {
            unit.set_pattern(mapping.unused);
        }
        unit.set_owed(false);
        let map = || match material {
            Material::File | Material::SecretFile => self.map_twice(unit, part, mapping, material, start),
            Material::Private => self.map_private(unit, part, mapping, start),
            Material::Secret => self.map_secret(part, mapping),
        };
        let known = self.maps_executable();
        let mut mapped = map();
        if mapped == Err(Errno::ACCESS) && self.maps_executable() != known {
            // That the system forbids it was found out just now.
            let _ = self.home.reset(self.record.part(part));
            self.forget(part);
            mapped = map();
        }
        mapped.map_err(|errno| refusal(errno, part, page))
    }

    /// Maps memory that is mapped twice; where the system forbids it and the kernel can write, once.
    fn map_twice(
        &self,
        unit: &Unit,
        part: Extent,
        mapping: &Mapping,
        material: Material,
        start: Start,
    ) -> Result<(), Errno> {
        let start = match self.back(unit, part, mapping, material) {
            Err(errno) if self.means.may_fall_back && is_forbidden(errno) && self.asks_kernel(part) => {
                return self.map_private(unit, part, mapping, start);
            }
            Ok(Start::Small) => start,
            other => other?,
        };
        if mapping.unused == Trap::ZERO {
            // What is not written yet reads as zero all the same.
            self.home.protect(self.record.part(part), mapping.protection)?;
        }
        let backing = if material == Material::SecretFile { Backing::Secret } else { Backing::Small };
        self.record.set(part, latent(mapping, backing).with(Page::TWICE, true));
        if let Some(first) = self.executable_from_start(part, mapping) {
            let home = self.record.part(first);
            self.record.set_solid(first);
            self.sync_fresh(home, &self.home, home)?;
        }
        self.begin(part, start, mapping.unused)
    }

    /// Lets the kernel write from now on what cannot be mapped twice. False if it does not.
    fn asks_kernel(&self, part: Extent) -> bool {
        let page = usize::try_from(self.record.page().bytes()).unwrap_or(usize::MAX);
        let page = Part::new(self.record.part(part).offset, page);
        let does = self.kernel_writes() || proc_mem::probe(&self.home, page).is_ok();
        self.has_kernel_memory.store(does, Ordering::Relaxed);
        does
    }

    /// Gives a latent unit its first memory.
    fn begin(&self, part: Extent, start: Start, pattern: Trap) -> Result<(), Errno> {
        let first = match start {
            Start::Large if self.enlarge(part).is_ok() => return Ok(()),
            Start::Reserved => part,
            // Zero is what a file has by itself.
            Start::Small | Start::Large if pattern == Trap::ZERO && part.len() == UNIT_BYTES => return Ok(()),
            Start::Small | Start::Large => self.first_of(part),
        };
        self.solidify(first, pattern)?;
        if start == Start::Reserved {
            // Maps the large page at home now; left alone, the first access would.
            let _ = self.home.populate(self.record.part(part), Protection::ReadExecute);
            self.record.set_backing(part, Backing::Reserved);
        }
        Ok(())
    }

    /// What of a mapping has memory at first.
    fn first_of(&self, part: Extent) -> Extent {
        let first = part.part(0, memory_for(0, self.record.page()));
        first.filter(|_| part.len() == UNIT_BYTES).unwrap_or(part)
    }

    /// What must be executable from its start, where the system gives that right to new mappings only.
    fn executable_from_start(&self, part: Extent, mapping: &Mapping) -> Option<Extent> {
        let is_wanted = self.maps_executable() && mapping.protection.is_executable();
        is_wanted.then(|| self.first_of(part))
    }

    /// Puts a file behind a part of a unit unless one is there, of the reserved pool while it has pages.
    fn back(&self, unit: &Unit, part: Extent, mapping: &Mapping, material: Material) -> Result<Start, Errno> {
        let Some(extent) = self.to_back(part) else { return Ok(Start::Small) };
        let executable = |of: Extent| {
            let first = self.executable_from_start(of, mapping)?;
            Some((usize::try_from(first.len()).ok()?, mapping.unused))
        };
        let is_pooled = self.means.uses_pool && part.len() == UNIT_BYTES && !self.maps_executable();
        let pooled = Fresh { unit, extent, material, is_of_pool: true, executable: None };
        if is_pooled && self.back_twice(&pooled).is_ok() {
            self.note_backed(extent);
            return Ok(Start::Reserved);
        }
        // A new mapping is executable as a whole, so it is no longer than what is mapped.
        let extent = if executable(part).is_some() { part } else { extent };
        self.back_twice(&Fresh { unit, extent, material, is_of_pool: false, executable: executable(extent) })?;
        self.note_backed(extent);
        Ok(Start::Small)
    }

    /// Maps memory of this process alone.
    fn map_private(&self, unit: &Unit, part: Extent, mapping: &Mapping, start: Start) -> Result<(), Errno> {
        let home = self.record.part(part);
        let is_stored = mapping.rights.contain(Protection::ReadWrite);
        let is_zero = mapping.unused == Trap::ZERO;
        if self.record.pages(part).any(Page::is_twice) {
            // A file of memory around it, which must not become writable here.
            self.home.reset(home)?;
        }
        if let Some(node) = self.means.node {
            // A hint; whether there are nodes was found out before.
            let _ = self.home.prefer(home, node);
        }
        if !is_stored && !is_zero && part.len() == UNIT_BYTES {
            self.record.set(part, latent(mapping, Backing::Small));
            return self.begin(part, start, mapping.unused);
        }
        self.home.protect(home, Protection::ReadWrite)?;
        let mut backing = Backing::Small;
        if part.len() == UNIT_BYTES && mapping.page == LARGE {
            // Its first page would be a large one where all memory is (`transparent_hugepage/enabled`).
            let _ = self.home.welcome_large(home, start == Start::Large);
            if start == Start::Large {
                self.fill_view(&self.home, Part::new(home.offset, 1), part.start(), mapping.unused)?;
                backing = make_large(&self.home, home, false).unwrap_or(Backing::Small);
            }
            unit.set_owed(backing == Backing::Small);
        }
        self.finish(part, mapping, backing)
    }

    /// Maps memory that the kernel has no mapping of.
    fn map_secret(&self, part: Extent, mapping: &Mapping) -> Result<(), Errno> {
        let home = self.record.part(part);
        let _kept_away = fork::keep_away();
        let file = secret_file(home.len)?;
        self.home.map_file(home, &file, 0, Protection::NoAccess)?;
        self.home.keep_from_children(home)?;
        drop(file);
        self.home.protect(home, Protection::ReadWrite)?;
        self.finish(part, mapping, Backing::Secret)
    }

    /// Fills memory that is writable at home, gives it its rights and notes it.
    fn finish(&self, part: Extent, mapping: &Mapping, backing: Backing) -> Result<(), Errno> {
        let home = self.record.part(part);
        if mapping.unused != Trap::ZERO {
            self.home.populate(home, Protection::ReadWrite)?;
            self.fill_view(&self.home, home, part.start(), mapping.unused)?;
        }
        if mapping.protection != Protection::ReadWrite {
            self.home.protect(home, mapping.protection)?;
        }
        if mapping.protection.is_executable() {
            self.sync_fresh(home, &self.home, home)?;
        }
        self.record.set(part, Page::mapped(mapping.protection, mapping.rights, backing));
        Ok(())
    }

    /// Gives memory back.
    pub(crate) fn unmap(&self, extent: Extent) -> Result<(), BackendError> {
        self.check_caller()?;
        self.record.check_whole(extent, self.record.page())?;
        let _changing = self.change();
        self.record.check_mapped(extent, |_| true)?;
        self.check_leaves(extent)?;
        self.record.restrict(extent, Protection::NoAccess);
        if self.keep_prepared(extent) {
            return Ok(());
        }
        if let Err(errno) = self.home.reset(self.record.part(extent)) {
            self.record.restore(extent);
            return Err(refusal(errno, extent, self.record.page()));
        }
        self.forget(extent);
        Ok(())
    }

    /// Refuses part of a page of the reserved pool, which the kernel does not cut.
    fn check_leaves(&self, extent: Extent) -> Result<(), BackendError> {
        let is_cut = |part: &Extent| {
            let is_pooled = self.record.page_at(part.start()).backing() == Some(Backing::Reserved);
            is_pooled && part.len() != UNIT_BYTES
        };
        let cut = self.record.by_unit(extent).find(is_cut);
        cut.map_or(Ok(()), |_| Err(BackendError::NotPages { extent, page: LARGE }))
    }

    /// Takes an extent that is reserved at home out of the record, and gives the memory behind it back.
    pub(crate) fn forget(&self, extent: Extent) {
        for part in self.record.by_unit(extent) {
            let Some(unit) = self.record.unit(part.start()) else { continue };
            let is_solid = |page: &Page| page.is_twice() && page.rights().is_some() && !page.is_latent();
            let pages = self.record.pages(part).filter(is_solid).count() as u64;
            let bytes = usize::try_from(pages * self.record.page().bytes()).unwrap_or(0);
            self.record.set(part, Page::ABSENT);
            unit.set_owed(false);
            unit.set_prepared(false);
            self.release(unit, part, bytes);
        }
    }

    /// Changes the rights of whole pages.
    pub(crate) fn protect(&self, extent: Extent, to: Protection) -> Result<(), BackendError> {
        self.check_caller()?;
        self.record.check_whole(extent, self.record.page())?;
        let _changing = self.change();
        self.record.check_mapped(extent, |_| true)?;
        self.record.check_allowed(extent, to)?;
        self.check_leaves(extent)?;
        // What has no memory yet has no content to show.
        self.commit_alone(extent)?;
        // Here first if the rights shrink, at home first if they grow.
        self.record.restrict(extent, to);
        if let Err(errno) = self.home.protect(self.record.part(extent), to) {
            self.record.restore(extent);
            return Err(refusal(errno, extent, self.record.page()));
        }
        self.record.give(extent, to);
        Ok(())
    }

    /// Replaces small pages by large ones.
    pub(crate) fn collapse(&self, extent: Extent, page: PageSize) -> Result<(), BackendError> {
        self.check_caller()?;
        self.record.check_whole(extent, page)?;
        let _changing = self.change();
        self.record.check_mapped(extent, |_| true)?;
        if page != LARGE {
            return Err(BackendError::PageUnavailable { page });
        }
        for whole in self.record.by_unit(extent) {
            self.enlarge(whole).map_err(|errno| refusal(errno, whole, page))?;
        }
        Ok(())
    }
}

/// What the pages of a fresh mapping are before they have memory.
fn latent(mapping: &Mapping, backing: Backing) -> Page {
    Page::mapped(mapping.protection, mapping.rights, backing).with(Page::LATENT, true)
}

/// Whether the system refuses something rather than having none left.
fn is_forbidden(errno: Errno) -> bool {
    !matches!(errno, Errno::NOMEM | Errno::NOSPC | Errno::AGAIN | Errno::MFILE | Errno::NFILE)
}
