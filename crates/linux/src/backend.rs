//! The process as a [`Backend`].

use std::sync::{Mutex, PoisonError};

use execmem_types::{
    Access, Backend, BackendError, Extent, Machine, Mapping, PageSize, Protection, SyncScope, Table, Trap,
};
use rustix::io::Errno;

use crate::record::Record;
use crate::window::{Side, Window, check_size};
use crate::{Options, SetupError, host, icache};

/// Executable memory in this process: one window of addresses, reserved once.
///
/// Dropping it unmaps the window. Whoever still executes code in it answers for that.
#[derive(Debug)]
pub struct Linux {
    machine: Machine,
    window: Window,
    record: Record,
    /// Held while mappings change, so that record and mappings change together.
    changing: Mutex<()>,
}

impl Linux {
    /// Reserves a window. Maps no memory yet.
    ///
    /// # Errors
    ///
    /// What the system or its limits forbid; see [`SetupError`].
    pub fn reserve(options: &Options) -> Result<Self, SetupError> {
        let machine = host::machine();
        check_size(options.window_bytes, machine.page())?;
        let window = Window::new(options.window_bytes)?;
        // Only patching live code needs it, and says so if it is missing.
        let _ = icache::register();
        let record = Record::new(window.extent(), machine.page());
        Ok(Linux { machine, window, record, changing: Mutex::new(()) })
    }

    /// The machine this process runs on.
    #[must_use]
    pub const fn machine(&self) -> &Machine {
        &self.machine
    }

    /// The addresses that were reserved.
    #[must_use]
    pub const fn window(&self) -> Extent {
        self.record.window()
    }

    /// A table for this window: every kind packed in 2 MiB pages by rights, code from the bottom up, data from the top
    /// down.
    ///
    /// # Errors
    ///
    /// [`SetupError::Table`] on a machine this crate does not know.
    pub fn table(&self) -> Result<Table, SetupError> {
        Ok(host::table(self.machine, self.window())?)
    }

    /// Offset and length of an extent in the window.
    #[inline]
    fn span(&self, extent: Extent) -> Result<(usize, usize), BackendError> {
        let outside = BackendError::NotMapped { address: extent.start() };
        if !self.window().covers(extent) {
            return Err(outside);
        }
        let offset = usize::try_from(extent.start() - self.window().start());
        offset.ok().zip(usize::try_from(extent.len()).ok()).ok_or(outside)
    }

    /// Offset and length of an extent, every page of which is mapped with rights that are `allowed`.
    #[inline]
    fn mapped(&self, extent: Extent, allowed: impl Fn(Protection) -> bool) -> Result<(usize, usize), BackendError> {
        self.record.check_mapped(extent, allowed)?;
        self.span(extent)
    }

    /// Makes the memory of an extent large pages in both views. One byte of each must exist before (`MADV_COLLAPSE` of
    /// nothing is an error); collapsing first and filling later is ten times faster than the reverse.
    fn make_large(&self, offset: usize, len: usize) -> Result<(), Errno> {
        let large = usize::try_from(host::LARGE.bytes()).unwrap_or(usize::MAX);
        for page in (offset..offset + len).step_by(large) {
            self.window.write(page, &[0])?;
        }
        self.window.collapse(Side::Alias, offset, len)
    }

    fn map_fresh(&self, mapping: &Mapping, offset: usize, len: usize) -> Result<(), BackendError> {
        let is_large = mapping.page == host::LARGE && mapping.page != self.machine.page();
        if is_large {
            self.make_large(offset, len).map_err(|_| BackendError::PageUnavailable { page: mapping.page })?;
        }
        let filled = self.window.fill(offset, len, mapping.unused);
        let exposed = filled.and_then(|()| self.window.protect(offset, len, mapping.protection));
        let synced = exposed.and_then(|()| match mapping.protection.is_executable() {
            true => self.window.sync(offset, len, SyncScope::Fresh),
            false => Ok(()),
        });
        synced.map_err(|errno| refusal(errno, mapping.extent, mapping.page))?;
        if is_large {
            // Maps the large page at home now; left alone, the first access would.
            let _ = self.window.collapse(Side::Home, offset, len);
        }
        Ok(())
    }

    /// Turns what an operation on the window says into what the engine understands.
    #[inline]
    fn done(&self, extent: Extent, outcome: Result<(), Errno>) -> Result<(), BackendError> {
        outcome.map_err(|errno| refusal(errno, extent, self.machine.page()))
    }
}

/// What an error number means to the engine.
fn refusal(errno: Errno, extent: Extent, page: PageSize) -> BackendError {
    match errno {
        Errno::NOMEM | Errno::NOSPC | Errno::AGAIN => BackendError::OutOfMemory { len: extent.len(), page },
        other => BackendError::System { errno: other.raw_os_error() },
    }
}

impl Backend for Linux {
    fn map(&self, mapping: &Mapping) -> Result<(), BackendError> {
        let Mapping { extent, page, .. } = *mapping;
        if mapping.is_writable_and_executable {
            return Err(BackendError::Unsupported);
        }
        self.record.check_whole(extent, page)?;
        let (offset, len) = self.span(extent)?;
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        self.record.check_absent(extent)?;
        if let Err(refused) = self.map_fresh(mapping, offset, len) {
            let _ = self.window.protect(offset, len, Protection::NoAccess);
            let _ = self.window.discard(offset, len);
            return Err(refused);
        }
        self.record.set(extent, Some(mapping.protection));
        Ok(())
    }

    fn unmap(&self, extent: Extent) -> Result<(), BackendError> {
        let page = self.machine.page();
        self.record.check_whole(extent, page)?;
        let (offset, len) = self.span(extent)?;
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        self.record.check_mapped(extent, |_| true)?;
        self.window.protect(offset, len, Protection::NoAccess).map_err(|errno| refusal(errno, extent, page))?;
        self.record.set(extent, None);
        // The addresses are free whether or not the memory behind them comes back now.
        let _ = self.window.discard(offset, len);
        Ok(())
    }

    fn protect(&self, extent: Extent, protection: Protection) -> Result<(), BackendError> {
        let page = self.machine.page();
        self.record.check_whole(extent, page)?;
        let (offset, len) = self.span(extent)?;
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        self.record.check_mapped(extent, |_| true)?;
        self.window.protect(offset, len, protection).map_err(|errno| refusal(errno, extent, page))?;
        self.record.set(extent, Some(protection));
        Ok(())
    }

    #[inline]
    fn write(&self, access: Access, address: u64, bytes: &[u8]) -> Result<(), BackendError> {
        let Some(extent) = Extent::new(address, bytes.len() as u64) else { return Ok(()) };
        let (offset, _) = self.mapped(extent, |rights| access == Access::Poke || rights.is_writable())?;
        self.done(extent, self.window.write(offset, bytes))
    }

    #[inline]
    fn fill(&self, access: Access, extent: Extent, pattern: Trap) -> Result<(), BackendError> {
        let (offset, len) = self.mapped(extent, |rights| access == Access::Poke || rights.is_writable())?;
        self.done(extent, self.window.fill(offset, len, pattern))
    }

    fn read(&self, address: u64, bytes: &mut [u8]) -> Result<(), BackendError> {
        let Some(extent) = Extent::new(address, bytes.len() as u64) else { return Ok(()) };
        let (offset, _) = self.mapped(extent, |rights| rights != Protection::NoAccess)?;
        self.done(extent, self.window.read(offset, bytes))
    }

    #[inline]
    fn sync_code(&self, extent: Extent, scope: SyncScope) -> Result<(), BackendError> {
        let (offset, len) = self.mapped(extent, |rights| rights != Protection::NoAccess)?;
        self.done(extent, self.window.sync(offset, len, scope))
    }

    fn collapse(&self, extent: Extent, page: PageSize) -> Result<(), BackendError> {
        self.record.check_whole(extent, page)?;
        let (offset, len) = self.span(extent)?;
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        self.record.check_mapped(extent, |_| true)?;
        if page != host::LARGE {
            return Err(BackendError::PageUnavailable { page });
        }
        let collapsed = self.window.collapse(Side::Alias, offset, len);
        collapsed.map_err(|errno| refusal(errno, extent, page))?;
        let _ = self.window.collapse(Side::Home, offset, len);
        Ok(())
    }
}
