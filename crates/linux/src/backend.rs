//! The process as a [`Backend`].

use execmem_types::{
    Access, Backend, BackendError, Describe as _, Extent, KindSet, Machine, Mapping, PageSize, PowerOfTwo, Protection,
    SyncScope, Table, Trap,
};

use crate::table::Layout;
use crate::unit::UNIT_BYTES;
use crate::window::Window;
use crate::{Options, Publish, SetupError, host, setup, table};

/// Executable memory in this process: one window of addresses, reserved once.
///
/// Dropping it unmaps the window, in the process that made it. Given to an engine, the memory is commanded
/// by that engine alone.
pub struct Linux {
    pub(crate) machine: Machine,
    pub(crate) window: Window,
    pub(crate) is_near: bool,
    pub(crate) is_sealed: bool,
    pub(crate) refusal: Option<SetupError>,
    pub(crate) narrowed: Option<SetupError>,
    options: Options,
    begins: [u64; 2],
}

impl Linux {
    /// Reserves a window. Maps no memory yet but what [`Options::prepare`] asks for.
    ///
    /// # Errors
    ///
    /// What the system or its limits forbid; see [`SetupError`].
    pub fn reserve(options: &Options) -> Result<Self, SetupError> {
        let machine = host::machine();
        let setup = setup::reserve(options, &machine)?;
        let machine = Machine { anchor: setup.anchor.map(|(anchor, _)| anchor), ..machine };
        let units = setup.window.record.window().len() / UNIT_BYTES;
        let begins = [(); 2].map(|()| setup.window.random.below((units / 2).max(1)));
        let mut linux = Linux {
            machine,
            window: setup.window,
            is_near: setup.anchor.is_some_and(|(_, is_near)| is_near),
            is_sealed: false,
            refusal: setup.refusal,
            narrowed: setup.narrowed,
            options: *options,
            begins,
        };
        linux.prepare()?;
        Ok(linux)
    }

    /// Makes code memory beforehand, where the table has its first code, and seals what never changes.
    fn prepare(&mut self) -> Result<(), SetupError> {
        let Options { prepared_bytes: bytes, is_sealed: seals, .. } = self.options;
        let window = self.facts().window();
        let mut is_sealed = seals;
        if seals && self.options.is_guarded {
            is_sealed &= self.layout().ends().into_iter().flatten().all(|end| self.window.seal(end));
        }
        if bytes > 0 && self.facts().publish() == Publish::Flip {
            return Err(SetupError::NotPreparable);
        }
        if bytes > 0 {
            let first = self.layout().first_code();
            let too_much = SetupError::TooMuchPrepared { bytes, window: window.len() };
            let len = bytes.checked_next_multiple_of(UNIT_BYTES).ok_or(too_much)?;
            let extent = first.part(0, len).ok_or(too_much)?;
            self.window.prepare(extent, self.machine.trap())?;
            is_sealed &= !seals || self.window.seal(extent);
        }
        self.is_sealed = is_sealed;
        Ok(())
    }

    /// Lets indirect branches into text that is published or mapped from now on end at landing pads only (BTI of arm64).
    /// False, and nothing changes, if the processor cannot check that. All code in this memory needs landing pads then:
    /// what Cranelift compiles with `use_bti` has them, and what `execmem-cranelift` adds to it.
    pub fn guard_branches(&mut self) -> bool {
        self.window.home.guard_branches()
    }

    /// A table for this window: every kind packed in 2 MiB pages by rights, code from the bottom up, data from the top
    /// down, each from a random place. [`Kind::Bpf`](execmem_types::Kind::Bpf) has blocks and quanta of its own, of 64 bytes. With [`Publish::Flip`],
    /// text and constants have small pages of their own.
    ///
    /// # Errors
    ///
    /// [`SetupError::Table`] on a machine this crate does not know.
    pub fn table(&self) -> Result<Table, SetupError> {
        Ok(table::table_of_linux(self.machine, &self.layout())?)
    }

    /// The same for another set of kinds: those of a class share the row of the first of them.
    ///
    /// # Errors
    ///
    /// As [`table`](Self::table).
    pub fn table_of<S: KindSet>(&self) -> Result<Table<S>, SetupError> {
        Ok(table::table(self.machine, &self.layout())?)
    }

    fn layout(&self) -> Layout {
        Layout {
            window: self.facts().window(),
            is_near: self.is_near,
            flips: self.facts().publish() == Publish::Flip,
            is_guarded: self.options.is_guarded,
            lead: self.options.lead_bytes,
            begins: self.begins,
        }
    }

    /// Refuses content that should arrive whatever the rights are where it cannot.
    #[inline]
    fn pokes(&self, access: Access) -> Result<bool, BackendError> {
        match access {
            Access::Store => Ok(false),
            Access::Poke if self.window.can_poke() => Ok(true),
            Access::Poke => Err(self.window.check_caller().err().unwrap_or(BackendError::Unsupported)),
        }
    }
}

impl Backend for Linux {
    #[inline]
    fn check_caller(&self) -> Result<(), BackendError> {
        self.window.check_caller()
    }

    fn map(&self, mapping: &Mapping) -> Result<(), BackendError> {
        self.window.check_caller()?;
        if mapping.is_writable_and_executable {
            return Err(BackendError::Unsupported);
        }
        self.window.map(mapping)
    }

    fn unmap(&self, extent: Extent) -> Result<(), BackendError> {
        self.window.unmap(extent)
    }

    fn protect(&self, extent: Extent, protection: Protection) -> Result<(), BackendError> {
        self.window.protect(extent, protection)
    }

    #[inline]
    fn write(&self, access: Access, address: u64, bytes: &[u8]) -> Result<(), BackendError> {
        let Some(extent) = Extent::new(address, bytes.len() as u64) else { return Ok(()) };
        self.window.write(self.pokes(access)?, extent, bytes)
    }

    /// The kernel, where it writes, copies byte by byte.
    fn stores_at_once(&self) -> PowerOfTwo {
        let word = if cfg!(target_pointer_width = "64") { 3 } else { 2 };
        PowerOfTwo::from_log2(if self.window.kernel_writes() { 0 } else { word })
    }

    #[inline]
    fn fill(&self, access: Access, extent: Extent, pattern: Trap) -> Result<(), BackendError> {
        self.window.fill(self.pokes(access)?, extent, pattern)
    }

    fn read(&self, address: u64, bytes: &mut [u8]) -> Result<(), BackendError> {
        let Some(extent) = Extent::new(address, bytes.len() as u64) else { return Ok(()) };
        self.window.read(extent, bytes)
    }

    #[inline]
    fn sync_code(&self, extent: Extent, scope: SyncScope) -> Result<(), BackendError> {
        self.window.sync(extent, scope)
    }

    fn collapses(&self) -> bool {
        true
    }

    fn collapse(&self, extent: Extent, page: PageSize) -> Result<(), BackendError> {
        self.window.collapse(extent, page)
    }
}

impl std::fmt::Debug for Linux {
    /// Where code is and how it gets there. Nothing about writable views.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let facts = self.facts();
        let mut linux = f.debug_struct("Linux");
        linux.field("window", &facts.window()).field("publish", &facts.publish());
        linux.field("anchor", &facts.anchor()).finish_non_exhaustive()
    }
}
