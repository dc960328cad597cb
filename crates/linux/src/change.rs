//! How the mappings of a window change: map, unmap, protect, collapse. One at a time.

use std::sync::{MutexGuard, PoisonError};

use execmem_types::{BackendError, Extent, Mapping, PageSize, Protection, Trap};
use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::Errno;

use crate::host::LARGE;
use crate::limits;
use crate::view::secret_file;
use crate::window::{Window, system_error};

/// What the memory of a block is made of. Reported by [`Linux::backing`](crate::Linux::backing).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backing {
    /// Pages of the smallest size.
    Small,
    /// 2 MiB pages of the pool that the administrator reserved (hugetlb).
    Reserved,
    /// 2 MiB pages that the kernel made at once (`MADV_COLLAPSE`).
    Collapsed,
    /// 2 MiB pages that the kernel was asked for and may give now, later or never: it is too old to do it at once.
    Advised,
    /// Small pages that the kernel has no mapping of (`memfd_secret`).
    Secret,
}

impl Backing {
    pub(crate) const ALL: [Backing; 5] =
        [Backing::Small, Backing::Reserved, Backing::Collapsed, Backing::Advised, Backing::Secret];
}

/// What an error number means to the engine.
fn refusal(errno: Errno, extent: Extent, page: PageSize) -> BackendError {
    match errno {
        Errno::NOMEM if limits::has_no_mapping_left() => BackendError::MappingLimit,
        Errno::NOMEM | Errno::NOSPC | Errno::AGAIN => BackendError::OutOfMemory { len: extent.len(), page },
        other => system_error(other),
    }
}

impl Window {
    fn change(&self) -> MutexGuard<'_, ()> {
        self.changing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Maps fresh memory.
    pub(crate) fn map(&self, mapping: &Mapping, small: PageSize) -> Result<(), BackendError> {
        let Mapping { extent, page, .. } = *mapping;
        self.check_origin()?;
        self.record.check_whole(extent, page)?;
        let (offset, len) = self.span(extent)?;
        let _changing = self.change();
        self.record.check_absent(extent)?;
        match self.map_fresh(mapping, offset, len, page == LARGE && page != small) {
            Ok(backing) => {
                self.record.set(extent, Some(mapping.protection));
                self.record.set_backing(extent, backing);
                Ok(())
            }
            Err(refused) => {
                let _ = self.home.protect(offset, len, Protection::NoAccess);
                self.discard(offset, len, page == LARGE || self.hides(mapping));
                Err(refused)
            }
        }
    }

    fn map_fresh(&self, mapping: &Mapping, offset: usize, len: usize, is_large: bool) -> Result<Backing, BackendError> {
        let refused = |errno| refusal(errno, mapping.extent, mapping.page);
        if self.dual().is_none() {
            self.home.protect(offset, len, Protection::ReadWrite).map_err(refused)?;
        }
        let unavailable = BackendError::PageUnavailable { page: mapping.page };
        let backing = match (is_large, self.hides(mapping)) {
            (true, true) => return Err(unavailable),
            (true, false) => self.make_large(offset, len).ok_or(unavailable)?,
            (false, true) => self.make_secret(offset, len).map_err(refused)?,
            (false, false) => Backing::Small,
        };
        self.fill_fresh(offset, len, mapping.unused).map_err(refused)?;
        self.give(offset, len, mapping.protection, backing).map_err(refused)?;
        if mapping.protection.is_executable() {
            self.sync_fresh(offset, len).map_err(refused)?;
        }
        // Maps the large page at home now; left alone, the first access would.
        let _ = match backing {
            Backing::Collapsed => self.home.collapse(offset, len),
            Backing::Reserved => self.home.populate(offset, len),
            Backing::Small | Backing::Advised | Backing::Secret => Ok(()),
        };
        Ok(backing)
    }

    /// Whether the content of fresh memory is hidden from the kernel: that of data is, if anything, unless the kernel has
    /// to write it.
    fn hides(&self, mapping: &Mapping) -> bool {
        let is_data = !mapping.protection.is_executable() && mapping.unused == Trap::ZERO;
        let is_written_here = mapping.protection.is_writable() || self.kernel().is_none();
        self.hides_data && is_data && is_written_here
    }

    /// Puts memory that the kernel has no mapping of behind part of both views. It goes when no view shows it.
    fn make_secret(&self, offset: usize, len: usize) -> Result<Backing, Errno> {
        let file = secret_file(len)?;
        if let Some((_, alias)) = self.dual() {
            alias.back_from(&file, 0, (offset, len), Some(Protection::ReadWrite))?;
        }
        let rights = if self.dual().is_some() { None } else { Some(Protection::ReadWrite) };
        self.home.back_from(&file, 0, (offset, len), rights)?;
        Ok(Backing::Secret)
    }

    /// Gives memory at home its rights. Where rights to execute are given to new mappings only, maps it once more.
    fn give(&self, offset: usize, len: usize, to: Protection, backing: Backing) -> Result<(), Errno> {
        match self.dual() {
            Some((dual, _)) if dual.maps_executable && to.is_executable() => {
                let pool = dual.reserved.as_ref().filter(|_| backing == Backing::Reserved);
                self.home.back(pool.unwrap_or(&dual.file), offset, len, Some(to))
            }
            _ => self.home.protect(offset, len, to),
        }
    }

    /// Makes fresh memory large pages: of the reserved pool while it has any, else at once, else by request.
    ///
    /// Collapsing first and filling later is ten times faster than the reverse; a byte of each page must exist before,
    /// since collapsing nothing is an error.
    fn make_large(&self, offset: usize, len: usize) -> Option<Backing> {
        if self.take_reserved(offset, len).is_ok() {
            return Some(Backing::Reserved);
        }
        let view = self.dual().map_or(&self.home, |(_, alias)| alias);
        let is_advised = view.advise_large(offset, len).is_ok();
        for page in (offset..offset + len).step_by(usize::try_from(LARGE.bytes()).ok()?) {
            self.fill_fresh(page, 1, Trap::ZERO).ok()?;
        }
        match view.collapse(offset, len) {
            Ok(()) => Some(Backing::Collapsed),
            // What kernels before 6.1 say, and any kernel that has no large pages at all.
            Err(Errno::INVAL) if is_advised && limits::large_pages_on_request(self.dual().is_some()) => {
                Some(Backing::Advised)
            }
            Err(_) => None,
        }
    }

    /// Puts pages of the reserved pool behind part of both views. They exist before they are mapped, so that no access
    /// finds the pool empty.
    fn take_reserved(&self, offset: usize, len: usize) -> Result<(), Errno> {
        let (dual, alias) = self.dual().ok_or(Errno::NOTSUP)?;
        let pool = dual.reserved.as_ref().ok_or(Errno::NOTSUP)?;
        fallocate(pool, FallocateFlags::KEEP_SIZE, offset as u64, len as u64)?;
        let mapped = alias
            .back(pool, offset, len, Some(Protection::ReadWrite))
            .and_then(|()| self.home.back(pool, offset, len, None));
        if mapped.is_err() {
            self.discard(offset, len, true);
        }
        mapped
    }

    /// Gives the memory behind part of the window back. It is out of reach at home already. Some of it `may_be` that
    /// of `others` than the window's own file.
    fn discard(&self, offset: usize, len: usize, may_be_others: bool) {
        let Some((dual, alias)) = self.dual() else {
            let _ = if may_be_others { self.home.reset(offset, len) } else { self.home.forget(offset, len) };
            return;
        };
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        if may_be_others {
            let replaced = alias
                .back(&dual.file, offset, len, Some(Protection::ReadWrite))
                .and_then(|()| self.home.back(&dual.file, offset, len, None));
            if let (Ok(()), Some(pool)) = (replaced, &dual.reserved) {
                // Only now: an access to a page that the pool took back would be a bus error.
                let _ = fallocate(pool, flags, offset as u64, len as u64);
            }
        }
        let _ = fallocate(&dual.file, flags, offset as u64, len as u64);
    }

    /// Gives memory back.
    pub(crate) fn unmap(&self, extent: Extent, small: PageSize) -> Result<(), BackendError> {
        self.check_origin()?;
        self.record.check_whole(extent, small)?;
        let (offset, len) = self.span(extent)?;
        let _changing = self.change();
        self.record.check_mapped(extent, |_| true)?;
        self.set_rights(extent, offset, len, Protection::NoAccess, small)?;
        let has_others = self.has_others(extent, small);
        self.record.set(extent, None);
        // The addresses are free whether or not the memory behind them comes back now.
        self.discard(offset, len, has_others);
        Ok(())
    }

    fn has_others(&self, extent: Extent, small: PageSize) -> bool {
        let step = usize::try_from(small.bytes()).unwrap_or(usize::MAX);
        let mut pages = (extent.start()..=extent.last()).step_by(step);
        pages.any(|address| matches!(self.record.backing(address), Some(Backing::Reserved | Backing::Secret)))
    }

    /// Changes rights at home and in the record: first here if they shrink, first there if they grow.
    fn set_rights(
        &self,
        extent: Extent,
        offset: usize,
        len: usize,
        to: Protection,
        small: PageSize,
    ) -> Result<(), BackendError> {
        let before = self.record.restrict(extent, to);
        let backing = self.record.backing(extent.start()).unwrap_or(Backing::Small);
        if let Err(errno) = self.give(offset, len, to, backing) {
            self.record.restore(extent, &before);
            return Err(refusal(errno, extent, small));
        }
        self.record.set(extent, Some(to));
        Ok(())
    }

    /// Changes the rights of whole pages.
    pub(crate) fn protect(&self, extent: Extent, to: Protection, small: PageSize) -> Result<(), BackendError> {
        self.check_origin()?;
        self.record.check_whole(extent, small)?;
        let (offset, len) = self.span(extent)?;
        let _changing = self.change();
        self.record.check_mapped(extent, |_| true)?;
        self.set_rights(extent, offset, len, to, small)
    }

    /// Replaces small pages by large ones.
    pub(crate) fn collapse(&self, extent: Extent, page: PageSize) -> Result<(), BackendError> {
        self.check_origin()?;
        self.record.check_whole(extent, page)?;
        let (offset, len) = self.span(extent)?;
        let _changing = self.change();
        self.record.check_mapped(extent, |_| true)?;
        if page != LARGE {
            return Err(BackendError::PageUnavailable { page });
        }
        let view = self.dual().map_or(&self.home, |(_, alias)| alias);
        view.collapse(offset, len).map_err(|errno| refusal(errno, extent, page))?;
        if self.dual().is_some() {
            let _ = self.home.collapse(offset, len);
        }
        self.record.set_backing(extent, Backing::Collapsed);
        Ok(())
    }
}
