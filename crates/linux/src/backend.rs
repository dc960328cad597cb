//! The process as a [`Backend`].

use execmem_types::{
    Access, Backend, BackendError, Extent, Machine, Mapping, PageSize, Protection, SyncScope, Table, Trap,
};

use crate::window::{Memory, Window};
use crate::{Backing, DataSource, Options, Publish, SetupError, host, icache, setup};

/// Executable memory in this process: one window of addresses, reserved once.
///
/// Dropping it unmaps the window. Whoever still executes code in it answers for that.
#[derive(Debug)]
pub struct Linux {
    machine: Machine,
    window: Window,
    refusal: Option<SetupError>,
    options: Options,
}

impl Linux {
    /// Reserves a window. Maps no memory yet.
    ///
    /// # Errors
    ///
    /// What the system or its limits forbid; see [`SetupError`].
    pub fn reserve(options: &Options) -> Result<Self, SetupError> {
        let machine = host::machine();
        let setup = setup::reserve(options, &machine)?;
        // Only patching live code needs it, and says so if it is missing.
        let _ = icache::register();
        let machine = Machine { anchor: setup.anchor, ..machine };
        let options = Options { node: setup.node, ..*options };
        Ok(Linux { machine, window: setup.window, refusal: setup.refusal, options })
    }

    /// The machine this process runs on.
    #[must_use]
    pub const fn machine(&self) -> &Machine {
        &self.machine
    }

    /// The addresses that were reserved.
    #[must_use]
    pub const fn window(&self) -> Extent {
        self.window.record.window()
    }

    /// What every address of the window reaches by a direct call: [`Place::Near`](crate::Place::Near)'s extent or the
    /// program. `None` if it lies anywhere.
    #[must_use]
    pub const fn anchor(&self) -> Option<Extent> {
        self.machine.anchor
    }

    /// How content gets into text: [`Publish::Poke`], [`Publish::ProcMem`] or [`Publish::Flip`].
    #[must_use]
    pub const fn publish(&self) -> Publish {
        match self.window.memory {
            Memory::Dual(_) => Publish::Poke,
            Memory::Kernel(_) => Publish::ProcMem,
            Memory::Single => Publish::Flip,
        }
    }

    /// Why [`Publish::Best`] is not [`Publish::Poke`].
    #[must_use]
    pub const fn refusal(&self) -> Option<SetupError> {
        self.refusal
    }

    /// Where memory for data comes from: [`DataSource::Ordinary`] or [`DataSource::Secret`].
    #[must_use]
    pub const fn data(&self) -> DataSource {
        if self.window.hides_data { DataSource::Secret } else { DataSource::Ordinary }
    }

    /// The NUMA node that memory comes from if it has some: that of the options, unless the kernel refused the hint.
    #[must_use]
    pub const fn node(&self) -> Option<u32> {
        self.options.node
    }

    /// Lets indirect branches into text that is published or mapped from now on end at landing pads only (BTI of arm64).
    /// False, and nothing changes, if the processor cannot check that. All code in this memory needs landing pads then:
    /// what Cranelift compiles with `use_bti` has them, and what `execmem-cranelift` adds to it.
    pub fn guard_branches(&self) -> bool {
        self.window.home.guard_branches()
    }

    /// What the memory at an address is made of. `None` if nothing is mapped there.
    #[must_use]
    pub fn backing(&self, address: u64) -> Option<Backing> {
        self.window.record.backing(address)
    }

    /// A table for this window: every kind packed in 2 MiB pages by rights, code from the bottom up, data from the top
    /// down. With [`Publish::Flip`], text and constants have small pages of their own.
    ///
    /// # Errors
    ///
    /// [`SetupError::Table`] on a machine this crate does not know.
    pub fn table(&self) -> Result<Table, SetupError> {
        Ok(host::table(self.machine, self.window(), self.publish() == Publish::Flip, &self.options)?)
    }

    /// Refuses content that should arrive whatever the rights are where it cannot.
    #[inline]
    fn pokes(&self, access: Access) -> Result<bool, BackendError> {
        match access {
            Access::Store => Ok(false),
            Access::Poke if self.window.can_poke() => Ok(true),
            Access::Poke => Err(BackendError::Unsupported),
        }
    }
}

impl Backend for Linux {
    fn map(&self, mapping: &Mapping) -> Result<(), BackendError> {
        if mapping.is_writable_and_executable {
            return Err(BackendError::Unsupported);
        }
        self.window.map(mapping, self.machine.page())
    }

    fn unmap(&self, extent: Extent) -> Result<(), BackendError> {
        self.window.unmap(extent, self.machine.page())
    }

    fn protect(&self, extent: Extent, protection: Protection) -> Result<(), BackendError> {
        self.window.protect(extent, protection, self.machine.page())
    }

    #[inline]
    fn write(&self, access: Access, address: u64, bytes: &[u8]) -> Result<(), BackendError> {
        let Some(extent) = Extent::new(address, bytes.len() as u64) else { return Ok(()) };
        self.window.write(self.pokes(access)?, extent, bytes)
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

    fn collapse(&self, extent: Extent, page: PageSize) -> Result<(), BackendError> {
        self.window.collapse(extent, page)
    }
}
