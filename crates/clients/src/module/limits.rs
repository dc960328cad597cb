//! How much an object may ask for before anything is taken for it.

use core::fmt;

use crate::Error;

/// What a loader spends on one object at most. The defaults are twice what the largest module of Debian takes, and more; with
/// them, loading takes less than 64 MiB of heap beside the file, whatever the file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoadLimits {
    /// Bytes of the file. Default: 256 MiB.
    pub file_bytes: u64,
    /// Number of sections. Default: 65,536.
    pub sections: u64,
    /// Bytes of the sections in memory, all kinds and tables of the loader together. Default: 32 MiB.
    pub section_bytes: u64,
    /// Bytes of the names of sections and symbols, and 48 for each name that is kept or looked up. Default: 24 MiB.
    pub name_bytes: u64,
    /// Bytes of variables of which each processor has its own. Default: 32 KiB, as much as Linux gives out at once.
    pub per_cpu_bytes: u64,
    /// Bytes of a file that is kept because relocations wait for other objects. Default: 4 MiB.
    pub kept_bytes: u64,
    /// Number of relocations. Default: 2^21.
    pub relocations: u64,
}

impl LoadLimits {
    /// The defaults.
    pub const DEFAULT: Self = LoadLimits {
        file_bytes: 256 << 20,
        sections: 1 << 16,
        section_bytes: 32 << 20,
        name_bytes: 24 << 20,
        per_cpu_bytes: 32 << 10,
        kept_bytes: 4 << 20,
        relocations: 1 << 21,
    };
}

impl Default for LoadLimits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// What an object wants too much of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resource {
    /// [`LoadLimits::file_bytes`]
    FileBytes,
    /// [`LoadLimits::sections`]
    Sections,
    /// [`LoadLimits::section_bytes`]
    SectionBytes,
    /// [`LoadLimits::name_bytes`]
    NameBytes,
    /// [`LoadLimits::per_cpu_bytes`]
    PerCpuBytes,
    /// [`LoadLimits::kept_bytes`]
    KeptBytes,
    /// [`LoadLimits::relocations`]
    Relocations,
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Resource::FileBytes => "bytes of file",
            Resource::Sections => "sections",
            Resource::SectionBytes => "bytes of sections",
            Resource::NameBytes => "bytes of names",
            Resource::PerCpuBytes => "bytes for each processor",
            Resource::KeptBytes => "bytes of file to keep",
            Resource::Relocations => "relocations",
        })
    }
}

/// Counts against one limit.
#[derive(Debug)]
pub(super) struct Budget {
    resource: Resource,
    limit: u64,
    used: u64,
}

impl Budget {
    pub(super) const fn new(resource: Resource, limit: u64) -> Self {
        Budget { resource, limit, used: 0 }
    }

    pub(super) const fn left(&self) -> u64 {
        self.limit - self.used
    }

    pub(super) fn take(&mut self, amount: u64) -> Result<(), Error> {
        let wanted = self.used.saturating_add(amount);
        if wanted > self.limit {
            return Err(Error::OverBudget { resource: self.resource, wanted, limit: self.limit });
        }
        self.used = wanted;
        Ok(())
    }
}
