//! Memory that each processor has its own copy of: sections that are never plain data.

use core::fmt;

use execmem_types::Extent;

use crate::Error;

/// Sections of variables of which each processor has its own (`include/linux/percpu-defs.h`).
pub(super) const PREFIX: &str = ".data..percpu";

/// What has memory of which each processor has its own copy. Code names all copies by one address.
pub trait PerCpu {
    /// Takes memory. `None` if there is none, or none of that size or alignment.
    fn alloc(&self, len: u64, align: u64) -> Option<Extent>;

    /// Puts the first content into the copy of every processor.
    fn fill(&self, extent: Extent, bytes: &[u8]);

    /// Gives memory back.
    fn free(&self, extent: Extent);
}

/// There is no such memory: modules that want some are refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct NoPerCpu;

impl PerCpu for NoPerCpu {
    fn alloc(&self, _len: u64, _align: u64) -> Option<Extent> {
        None
    }
    fn fill(&self, _extent: Extent, _bytes: &[u8]) {}
    fn free(&self, _extent: Extent) {}
}

impl<P: PerCpu + ?Sized> PerCpu for &P {
    fn alloc(&self, len: u64, align: u64) -> Option<Extent> {
        (**self).alloc(len, align)
    }
    fn fill(&self, extent: Extent, bytes: &[u8]) {
        (**self).fill(extent, bytes);
    }
    fn free(&self, extent: Extent) {
        (**self).free(extent);
    }
}

/// Memory of a module, given back when this is dropped.
pub(super) struct Taken<P: PerCpu> {
    home: P,
    pub(super) extent: Extent,
}

impl<P: PerCpu> fmt::Debug for Taken<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Taken").field(&self.extent).finish()
    }
}

impl<P: PerCpu + Clone> Taken<P> {
    /// Takes what a module needs, if anything.
    pub(super) fn new(home: &P, len: u64, align: u64) -> Result<Option<Self>, Error> {
        if len == 0 {
            return Ok(None);
        }
        let extent = home.alloc(len, align).ok_or(Error::NoPerCpu { len })?;
        let taken = Taken { home: home.clone(), extent };
        // What does not fit goes back as it came.
        let fits = extent.len() >= len && extent.start().is_multiple_of(align);
        if fits { Ok(Some(taken)) } else { Err(Error::NoPerCpu { len }) }
    }

    pub(super) fn fill(&self, bytes: &[u8]) {
        self.home.fill(self.extent, bytes);
    }
}

impl<P: PerCpu> Drop for Taken<P> {
    fn drop(&mut self) {
        self.home.free(self.extent);
    }
}
