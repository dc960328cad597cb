//! A window: its addresses, the memory behind them, and every access to their bytes.
#![expect(unsafe_code, reason = "accesses memory by address: outside the views it would corrupt another owner's")]

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use execmem_types::{BackendError, Extent, Protection, SyncScope, Trap};
use rustix::io::Errno;

use crate::fork::Mark;
use crate::material::Means;
use crate::random::Random;
use crate::record::{Pin, Record};
use crate::unit::{UNIT_BYTES, Unit};
use crate::view::{Part, View};
use crate::{copy, icache, proc_mem};

/// Addresses at which code is executed and data is used, and what is behind them.
///
/// # Invariants
///
/// In the process of `mark`: a page has at home at least the rights that the record says; and a unit's writable view
/// that accesses may use is readable and writable from beginning to end until the window is dropped.
#[derive(Debug)]
pub(crate) struct Window {
    pub(crate) home: View,
    pub(crate) record: Record,
    pub(crate) mark: Mark,
    pub(crate) means: Means,
    pub(crate) random: Random,
    /// What is behind writable views of units that have no file: memory that nothing executes or reads.
    pub(crate) sink: Option<View>,
    /// The system refuses to make mapped memory executable, but not to map it so.
    pub(crate) maps_executable: AtomicBool,
    /// The kernel writes to private memory that the process may not write to: all of the memory for code, or some.
    pub(crate) has_kernel_memory: AtomicBool,
    /// Held while mappings change, so that record and mappings change together.
    pub(crate) changing: Mutex<()>,
}

/// Leave to access the bytes of a part of one unit for as long as it lives.
struct Access<'w> {
    /// Where the bytes are accessed, unless the kernel does.
    at: Option<*mut u8>,
    /// Keeps home as it is, where home is what is accessed.
    _pin: Option<Pin<'w>>,
    /// A writable view that is open for this access only, and what closes it.
    _open: Option<OpenView<'w>>,
}

/// A writable view that has rights only while this lives.
struct OpenView<'w> {
    view: &'w View,
    part: Part,
    _changing: MutexGuard<'w, ()>,
}

impl Drop for OpenView<'_> {
    fn drop(&mut self) {
        // Refused, it is as open as views are by default.
        let _ = self.view.protect(self.part, Protection::NoAccess);
    }
}

impl Window {
    /// Refuses a process that was forked from the one that made the window.
    #[inline]
    pub(crate) fn check_caller(&self) -> Result<(), BackendError> {
        if self.mark.is_here() { Ok(()) } else { Err(BackendError::Forked) }
    }

    /// Takes the lock of changes.
    pub(crate) fn change(&self) -> MutexGuard<'_, ()> {
        self.changing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether bytes can change whatever the rights at home are.
    #[inline]
    pub(crate) fn can_poke(&self) -> bool {
        self.means.guard.is_some() || self.kernel_writes()
    }

    /// Whether bytes can change with these rights at home.
    fn can_change(&self, pokes: bool, rights: Protection) -> bool {
        rights.is_writable() || pokes && self.can_poke() && is_readable(rights)
    }

    /// Whether the right to execute comes with a mapping only.
    pub(crate) fn maps_executable(&self) -> bool {
        self.maps_executable.load(Ordering::Relaxed)
    }

    /// Whether the kernel writes some of the memory.
    pub(crate) fn kernel_writes(&self) -> bool {
        self.has_kernel_memory.load(Ordering::Relaxed)
    }

    /// Copies bytes in; whatever the rights at home are if it `pokes`.
    #[inline]
    pub(crate) fn write(&self, pokes: bool, extent: Extent, bytes: &[u8]) -> Result<(), BackendError> {
        self.check_caller()?;
        if pokes && let Some(address) = self.record.in_view(extent) {
            // SAFETY: the bytes lie in a writable view that accesses may use, which is readable and writable as long as
            // the window lives, in this process (invariant). No Rust reference points into a view. `extent` has the
            // length of `bytes`, by the caller.
            unsafe { copy::write(std::ptr::with_exposed_provenance_mut(address), bytes) };
            return Ok(());
        }
        self.write_elsewhere(pokes, extent, bytes)
    }

    /// The same where a unit ends, where there is no memory yet, and where there is no writable view.
    #[inline(never)]
    fn write_elsewhere(&self, pokes: bool, extent: Extent, bytes: &[u8]) -> Result<(), BackendError> {
        let can_change = |rights| self.can_change(pokes, rights);
        self.record.check_mapped(extent, can_change)?;
        self.commit(extent)?;
        for piece in self.record.pieces(extent) {
            let part = piece.extent;
            let offset = usize::try_from(part.start() - extent.start()).unwrap_or(usize::MAX);
            let len = usize::try_from(part.len()).unwrap_or(0);
            let some = bytes.get(offset..offset.saturating_add(len)).unwrap_or_default();
            match self.access(pokes, part, can_change)?.at {
                // SAFETY: `at` is where bytes of the length of `part` are readable and writable until the access is
                // dropped, at the end of this statement, and no Rust reference points to them.
                Some(at) => unsafe { copy::write(at, some) },
                None => proc_mem::write(part.start(), some).map_err(file_error)?,
            }
        }
        Ok(())
    }

    /// Fills bytes with a pattern in phase with the home address.
    #[inline]
    pub(crate) fn fill(&self, pokes: bool, extent: Extent, pattern: Trap) -> Result<(), BackendError> {
        self.check_caller()?;
        if pokes && let Some(address) = self.record.in_view(extent) {
            let len = usize::try_from(extent.len()).unwrap_or(0);
            // SAFETY: as in `write`.
            unsafe { copy::fill(std::ptr::with_exposed_provenance_mut(address), extent.start(), len, pattern) };
            return Ok(());
        }
        self.fill_elsewhere(pokes, extent, pattern)
    }

    /// The same where a unit ends, where there is no memory yet, and where there is no writable view.
    #[inline(never)]
    fn fill_elsewhere(&self, pokes: bool, extent: Extent, pattern: Trap) -> Result<(), BackendError> {
        let can_change = |rights| self.can_change(pokes, rights);
        self.record.check_mapped(extent, can_change)?;
        for piece in self.record.pieces(extent) {
            let part = piece.extent;
            if piece.is_latent {
                if self.unit(part)?.pattern() == pattern {
                    continue;
                }
                self.commit(part)?;
            }
            let len = usize::try_from(part.len()).unwrap_or(0);
            match self.access(pokes, part, can_change)?.at {
                // SAFETY: as in `write_elsewhere`.
                Some(at) => unsafe { copy::fill(at, part.start(), len, pattern) },
                None => proc_mem::fill(part.start(), len, pattern).map_err(file_error)?,
            }
        }
        Ok(())
    }

    /// Copies bytes out. What has no memory yet reads as what it will hold.
    pub(crate) fn read(&self, extent: Extent, bytes: &mut [u8]) -> Result<(), BackendError> {
        self.check_caller()?;
        self.record.check_mapped(extent, is_readable)?;
        for piece in self.record.pieces(extent) {
            let part = piece.extent;
            let offset = usize::try_from(part.start() - extent.start()).unwrap_or(usize::MAX);
            let len = usize::try_from(part.len()).unwrap_or(0);
            let some = bytes.get_mut(offset..offset.saturating_add(len)).unwrap_or_default();
            if piece.is_latent {
                self.unit(part)?.pattern().fill(part.start(), some);
                continue;
            }
            let access = self.access(false, part, is_readable)?;
            let at = access.at.ok_or(BackendError::NotMapped { address: part.start() })?;
            // SAFETY: as in `write_elsewhere`, and pinned readable at home.
            unsafe { copy::read(at, some) };
        }
        Ok(())
    }

    /// Leave to access part of one unit, all pages of which have memory and rights that are `allowed`.
    fn access(
        &self,
        pokes: bool,
        part: Extent,
        allowed: impl Fn(Protection) -> bool,
    ) -> Result<Access<'_>, BackendError> {
        if let Some(address) = self.record.in_view(part) {
            let at = Some(std::ptr::with_exposed_provenance_mut(address));
            return Ok(Access { at, _pin: None, _open: None });
        }
        if self.record.page_at(part.start()).is_twice() {
            return self.open_view(part);
        }
        let by_kernel = pokes && self.kernel_writes();
        let can_access = |rights: Protection| allowed(rights) && (!pokes || by_kernel || rights.is_writable());
        let pin = self.record.pin(part, can_access)?;
        let at = if by_kernel { None } else { self.home.address(self.record.part(part)) };
        Ok(Access { at, _pin: Some(pin), _open: None })
    }

    /// Leave to access part of a unit whose writable view has no rights between accesses.
    #[cold]
    fn open_view(&self, part: Extent) -> Result<Access<'_>, BackendError> {
        let changing = self.change();
        let absent = BackendError::NotMapped { address: part.start() };
        // Again, now that nothing changes.
        self.record.check_mapped(part, is_readable)?;
        let view = self.unit(part)?.view.get().ok_or(absent)?;
        let within = self.in_unit(part);
        let page = usize::try_from(self.record.page().bytes()).unwrap_or(1);
        let start = within.offset - within.offset % page;
        let pages = Part::new(start, (within.end() - start).next_multiple_of(page));
        view.protect(pages, Protection::ReadWrite).map_err(system_error)?;
        let open = OpenView { view, part: pages, _changing: changing };
        Ok(Access { at: view.address(within), _pin: None, _open: Some(open) })
    }

    /// Where in an open writable view the bytes of a mapped extent are, which get their memory. `None` if there is none, or
    /// several.
    #[cfg(feature = "shared")]
    pub(crate) fn writable(&self, extent: Extent) -> Option<usize> {
        self.check_caller().ok()?;
        self.record.check_mapped(extent, is_readable).ok()?;
        self.commit(extent).ok()?;
        self.record.in_view(extent)
    }

    /// The unit that holds the start of an extent, in which something is mapped.
    pub(crate) fn unit(&self, extent: Extent) -> Result<&Unit, BackendError> {
        self.record.unit(extent.start()).ok_or(BackendError::NotMapped { address: extent.start() })
    }

    /// The part of its unit that an extent is.
    pub(crate) fn in_unit(&self, part: Extent) -> Part {
        let Part { offset, len } = self.record.part(part);
        Part::new(offset % usize::try_from(UNIT_BYTES).unwrap_or(usize::MAX), len)
    }

    /// Fills memory at a place in a view, which the caller, which holds `changing`, made writable, in phase with `address`.
    pub(crate) fn fill_view(&self, view: &View, part: Part, address: u64, pattern: Trap) -> Result<(), Errno> {
        let at = view.address(part).ok_or(Errno::RANGE)?;
        // SAFETY: the bytes lie in a view, and are writable, says the caller; no thread takes that away without `changing`.
        unsafe { copy::fill(at, address, part.len, pattern) };
        Ok(())
    }

    /// Tells instruction fetch about memory at home that no caller knows yet, written at a place in a view. The caller holds
    /// `changing`, and both are readable.
    pub(crate) fn sync_fresh(&self, home: Part, view: &View, written: Part) -> Result<(), Errno> {
        let written = view.address(written).ok_or(Errno::RANGE)?;
        let at = self.home.address(home).ok_or(Errno::RANGE)?;
        // SAFETY: both ranges lie in views, and are readable, says the caller.
        unsafe { icache::sync(at.addr(), written.addr(), home.len, SyncScope::Fresh) }
    }

    /// Makes bytes that were written what processors execute at home.
    #[inline]
    pub(crate) fn sync(&self, extent: Extent, scope: SyncScope) -> Result<(), BackendError> {
        self.check_caller()?;
        if scope != SyncScope::Retired && self.record.has_latent(extent) {
            // What is published can be executed and read, whether it was written or not.
            self.record.check_mapped(extent, is_readable)?;
            self.commit(extent)?;
        }
        if icache::acts(scope) { self.sync_caches(extent, scope) } else { Ok(()) }
    }

    fn sync_caches(&self, extent: Extent, scope: SyncScope) -> Result<(), BackendError> {
        self.record.check_mapped(extent, is_readable)?;
        for piece in self.record.pieces(extent).filter(|piece| !piece.is_latent) {
            let part = piece.extent;
            let access = self.access(false, part, is_readable)?;
            let pin = if icache::TOUCHES_HOME && access._pin.is_none() {
                Some(self.record.pin(part, is_readable)?)
            } else {
                None
            };
            let home = self.record.part(part);
            let address = self.home.address(home).ok_or(BackendError::NotMapped { address: part.start() })?.addr();
            let written = access.at.map_or(address, |at| at.addr());
            // SAFETY: the bytes are readable where they were written, as in `read`, and pinned readable at home on
            // machines whose cache instructions fault otherwise.
            unsafe { icache::sync(address, written, home.len, scope) }.map_err(system_error)?;
            drop(pin);
        }
        Ok(())
    }
}

/// Whether bytes with these rights can be read.
fn is_readable(rights: Protection) -> bool {
    rights != Protection::NoAccess
}

/// What an error number means where a file is opened.
#[cold]
pub(crate) const fn file_error(errno: Errno) -> BackendError {
    match errno {
        Errno::MFILE | Errno::NFILE => BackendError::DescriptorLimit,
        other => system_error(other),
    }
}

/// What an error number means that has no meaning of its own to the engine.
#[cold]
pub(crate) const fn system_error(errno: Errno) -> BackendError {
    BackendError::System { errno: errno.raw_os_error() }
}
