//! A window: its addresses, the memory behind them, and every access to their bytes.
#![expect(unsafe_code, reason = "accesses memory by address: outside the views it would corrupt somebody else's")]

use std::os::fd::OwnedFd;
use std::sync::Mutex;

use execmem_types::{BackendError, Extent, PageSize, Protection, SyncScope, Trap};
use rustix::io::Errno;

use crate::proc_mem::ProcMem;
use crate::record::{Pin, Record};
use crate::view::{Origin, View};
use crate::{copy, icache};

/// Addresses at which code is executed and data is used, and what is behind them.
///
/// # Invariants
///
/// A page has at home at least the rights that the record says. In [`Memory::Dual`], the alias has the length of home,
/// and is readable and writable from beginning to end in the process that made it.
#[derive(Debug)]
pub(crate) struct Window {
    pub(crate) home: View,
    pub(crate) memory: Memory,
    pub(crate) record: Record,
    /// Held while mappings change, so that record and mappings change together.
    pub(crate) changing: Mutex<()>,
    /// Data is in memory that the kernel has no mapping of.
    pub(crate) hides_data: bool,
}

/// What is behind the addresses.
#[derive(Debug)]
pub(crate) enum Memory {
    /// A memory file that is mapped twice. Its content arrives through the alias, whatever the rights at home are.
    Dual(Box<Dual>),
    /// Anonymous memory, mapped once. It is written at home, where it has to be writable.
    Single,
    /// Anonymous memory, mapped once. The kernel writes to it, whatever the rights at home are.
    Kernel(Box<ProcMem>),
}

/// A memory file and its second mapping.
#[derive(Debug)]
pub(crate) struct Dual {
    pub(crate) file: OwnedFd,
    /// A second file of the same size, of pages of the reserved pool.
    pub(crate) reserved: Option<OwnedFd>,
    /// `None` only while the window is dropped.
    pub(crate) alias: Option<View>,
    pub(crate) origin: Origin,
    /// The system refuses to make mapped memory executable, but not to map it so.
    pub(crate) maps_executable: bool,
}

/// Leave to access bytes for as long as it lives.
struct Held<'w> {
    offset: usize,
    len: usize,
    /// Where the bytes are accessed.
    content: *mut u8,
    /// Keeps home as it is, where home is what is accessed.
    pin: Option<Pin<'w>>,
}

impl Window {
    /// A window over addresses, none of which are mapped yet.
    pub(crate) fn new(home: View, memory: Memory, page: PageSize) -> Self {
        let extent = Extent::new(home.start() as u64, home.len() as u64);
        let extent = extent.unwrap_or_else(|| unreachable!("the kernel maps no view at the end of the address space"));
        let record = Record::new(extent, page);
        Window { home, memory, record, changing: Mutex::new(()), hides_data: false }
    }

    /// The second mapping, where there is one.
    pub(crate) fn dual(&self) -> Option<(&Dual, &View)> {
        match &self.memory {
            Memory::Dual(dual) => dual.alias.as_ref().map(|alias| (&**dual, alias)),
            Memory::Single | Memory::Kernel(_) => None,
        }
    }

    /// Offset and length of an extent in the window.
    #[inline]
    pub(crate) fn span(&self, extent: Extent) -> Result<(usize, usize), BackendError> {
        let outside = BackendError::NotMapped { address: extent.start() };
        if !self.record.window().covers(extent) {
            return Err(outside);
        }
        let offset = usize::try_from(extent.start() - self.record.window().start());
        offset.ok().zip(usize::try_from(extent.len()).ok()).ok_or(outside)
    }

    /// Refuses a process that was forked from the one that made the window, where it could change the parent's memory.
    #[inline]
    pub(crate) fn check_origin(&self) -> Result<(), BackendError> {
        let is_here = match &self.memory {
            Memory::Dual(dual) => dual.origin.is_here(),
            Memory::Kernel(kernel) => kernel.origin.is_here(),
            Memory::Single => true,
        };
        if is_here { Ok(()) } else { Err(BackendError::Forked) }
    }

    /// Leave to access an extent, every page of which is mapped with rights that are `allowed`.
    #[inline]
    fn hold(&self, extent: Extent, allowed: impl Fn(Protection) -> bool) -> Result<Held<'_>, BackendError> {
        self.check_origin()?;
        let (offset, len) = self.span(extent)?;
        let (content, pin) = match self.dual() {
            Some((_, alias)) => {
                self.record.check_mapped(extent, allowed)?;
                (alias.part(offset, len), None)
            }
            None => (self.home.part(offset, len), Some(self.record.pin(extent, allowed)?)),
        };
        let content = content.ok_or(BackendError::NotMapped { address: extent.start() })?;
        Ok(Held { offset, len, content, pin })
    }

    /// Whether bytes can change whatever the rights at home are.
    #[inline]
    pub(crate) const fn can_poke(&self) -> bool {
        !matches!(self.memory, Memory::Single)
    }

    /// Whether bytes can change with these rights at home.
    #[inline]
    const fn can_change(&self, pokes: bool, rights: Protection) -> bool {
        rights.is_writable() || pokes && self.can_poke()
    }

    /// What pokes if it is not this process itself.
    #[inline]
    pub(crate) fn kernel(&self) -> Option<&ProcMem> {
        match &self.memory {
            Memory::Kernel(kernel) => Some(kernel),
            Memory::Dual(_) | Memory::Single => None,
        }
    }

    /// Copies bytes in; whatever the rights at home are if it `pokes`.
    #[inline]
    pub(crate) fn write(&self, pokes: bool, extent: Extent, bytes: &[u8]) -> Result<(), BackendError> {
        let held = self.hold(extent, |rights| self.can_change(pokes, rights))?;
        let part = &bytes[..bytes.len().min(held.len)];
        if let (true, Some(kernel)) = (pokes, self.kernel()) {
            return kernel.write(extent.start(), part).map_err(system_error);
        }
        // SAFETY: `held.len` bytes are readable and writable until `held` is dropped: through the alias they always
        // are in this process (invariant of `Window`), at home they are pinned writable (invariant of `Record`). No
        // Rust reference points into either view.
        unsafe { copy::write(held.content, part) };
        Ok(())
    }

    /// Fills bytes with a pattern in phase with the home address.
    #[inline]
    pub(crate) fn fill(&self, pokes: bool, extent: Extent, pattern: Trap) -> Result<(), BackendError> {
        let held = self.hold(extent, |rights| self.can_change(pokes, rights))?;
        if let (true, Some(kernel)) = (pokes, self.kernel()) {
            return kernel.fill(extent.start(), held.len, pattern).map_err(system_error);
        }
        // SAFETY: as in `write`.
        unsafe { copy::fill(held.content, extent.start(), held.len, pattern) };
        Ok(())
    }

    /// Fills memory that nobody knows yet. At home it is writable already where there is no alias.
    pub(crate) fn fill_fresh(&self, offset: usize, len: usize, pattern: Trap) -> Result<(), Errno> {
        let view = self.dual().map_or(&self.home, |(_, alias)| alias);
        let content = view.part(offset, len).ok_or(Errno::RANGE)?;
        // SAFETY: the bytes lie in a view; the caller, who holds `changing`, made them writable if it is home, and
        // nobody takes that away before.
        unsafe { copy::fill(content, self.record.window().start() + offset as u64, len, pattern) };
        Ok(())
    }

    /// Tells instruction fetch about memory that nobody knows yet and that is executable already.
    pub(crate) fn sync_fresh(&self, offset: usize, len: usize) -> Result<(), Errno> {
        let view = self.dual().map_or(&self.home, |(_, alias)| alias);
        let written = view.part(offset, len).ok_or(Errno::RANGE)?;
        let home = self.home.part(offset, len).ok_or(Errno::RANGE)?;
        // SAFETY: both ranges lie in views; the caller, who holds `changing`, made home readable, and the alias is.
        unsafe { icache::sync(home.addr(), written.addr(), len, SyncScope::Fresh) }
    }

    /// Copies bytes out.
    pub(crate) fn read(&self, extent: Extent, bytes: &mut [u8]) -> Result<(), BackendError> {
        let held = self.hold(extent, |rights| rights != Protection::NoAccess)?;
        let len = bytes.len().min(held.len);
        // SAFETY: as in `write`, and pinned readable at home.
        unsafe { copy::read(held.content, &mut bytes[..len]) };
        Ok(())
    }

    /// Makes bytes that were written what processors execute at home.
    #[inline]
    pub(crate) fn sync(&self, extent: Extent, scope: SyncScope) -> Result<(), BackendError> {
        if !icache::acts(scope) {
            return Ok(());
        }
        let held = self.hold(extent, |rights| rights != Protection::NoAccess)?;
        let must_pin = icache::TOUCHES_HOME && held.pin.is_none();
        let is_readable = |rights| rights != Protection::NoAccess;
        let _pin = if must_pin { Some(self.record.pin(extent, is_readable)?) } else { None };
        // SAFETY: the bytes are readable where they were written, as in `write`, and pinned readable at home on
        // machines whose cache instructions fault otherwise.
        unsafe { icache::sync(self.home.start() + held.offset, held.content.addr(), held.len, scope) }
            .map_err(system_error)
    }
}

/// What an error number means that has no meaning of its own to the engine.
#[cold]
pub(crate) const fn system_error(errno: Errno) -> BackendError {
    BackendError::System { errno: errno.raw_os_error() }
}

impl Drop for Window {
    fn drop(&mut self) {
        if let Memory::Dual(dual) = &mut self.memory
            && !dual.origin.is_here()
        {
            // A child has no alias; whatever is at its addresses belongs to somebody else.
            std::mem::forget(dual.alias.take());
        }
    }
}
