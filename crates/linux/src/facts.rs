//! What is known of the memory, for callers that do not command it.

use execmem_types::{Describe, Extent, Machine};

use crate::{Backing, DataSource, Linux, Publish, SetupError};

/// What is true of a [`Linux`]: how it publishes, where its window is, what its pages are made of.
///
/// An engine that owns the memory hands these out (`Engine::facts`). They command nothing, and tell no address at which code
/// could be written.
#[derive(Clone, Copy)]
pub struct Facts<'m> {
    linux: &'m Linux,
}

impl<'m> Facts<'m> {
    /// The machine this process runs on.
    #[must_use]
    pub const fn machine(&self) -> &'m Machine {
        &self.linux.machine
    }

    /// The window itself, which commands memory: not for others.
    #[cfg(feature = "shared")]
    pub(crate) const fn window_of_memory(&self) -> &'m crate::window::Window {
        &self.linux.window
    }

    /// The addresses that were reserved.
    #[must_use]
    pub const fn window(&self) -> Extent {
        self.linux.window.record.window()
    }

    /// What every address of the window reaches by a direct call: [`Place::Near`](crate::Place::Near)'s extent or the
    /// program. `None` if it lies anywhere.
    #[must_use]
    pub fn anchor(&self) -> Option<Extent> {
        self.linux.machine.anchor.filter(|_| self.linux.is_near)
    }

    /// Why the window is shorter than it is by default. `None` if it is not, or if its length was chosen.
    #[must_use]
    pub const fn narrowed(&self) -> Option<SetupError> {
        self.linux.narrowed
    }

    /// How content gets into text: [`Publish::Poke`], [`Publish::ProcMem`] or [`Publish::Flip`].
    #[must_use]
    pub fn publish(&self) -> Publish {
        match (self.linux.window.means.guard, self.linux.window.kernel_writes()) {
            (Some(_), _) => Publish::Poke,
            (None, true) => Publish::ProcMem,
            (None, false) => Publish::Flip,
        }
    }

    /// How content gets into what is mapped at an address, if nothing is stored there by the process itself: memory of a
    /// [`Publish::Poke`] window is `ProcMem` if the system forbade to map it twice when it was made. `None` if nothing is
    /// mapped there.
    #[must_use]
    pub fn publish_at(&self, address: u64) -> Option<Publish> {
        let page = self.linux.window.record.page_at(address);
        page.rights()?;
        match (page.is_twice(), self.publish()) {
            (false, Publish::Poke) => Some(Publish::ProcMem),
            (_, publish) => Some(publish),
        }
    }

    /// Why [`Publish::Best`] is not [`Publish::Poke`].
    #[must_use]
    pub const fn refusal(&self) -> Option<SetupError> {
        self.linux.refusal
    }

    /// Whether everything is sealed that [`Options::sealed`](crate::Options::sealed) asks for. False if the system
    /// cannot, or was not asked.
    #[must_use]
    pub const fn is_sealed(&self) -> bool {
        self.linux.is_sealed
    }

    /// Where memory for data comes from: [`DataSource::Ordinary`] or [`DataSource::Secret`].
    #[must_use]
    pub const fn data(&self) -> DataSource {
        if self.linux.window.means.hides_data { DataSource::Secret } else { DataSource::Ordinary }
    }

    /// The NUMA node that memory comes from if it has some: that of the options, unless the kernel refused the hint.
    #[must_use]
    pub const fn node(&self) -> Option<u32> {
        self.linux.window.means.node
    }

    /// What the memory at an address is made of. `None` if nothing is mapped there.
    #[must_use]
    pub fn backing(&self, address: u64) -> Option<Backing> {
        self.linux.window.record.page_at(address).backing()
    }

    /// Bytes that were unmapped and are still in memory: a sealed memory file gives back nothing but all of its 2 MiB.
    #[must_use]
    pub fn waiting_bytes(&self) -> u64 {
        self.linux.window.record.waiting() as u64
    }
}

impl std::fmt::Debug for Facts<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Debug::fmt(self.linux, f)
    }
}

impl Describe for Linux {
    type Facts<'m> = Facts<'m>;

    fn facts(&self) -> Facts<'_> {
        Facts { linux: self }
    }
}
