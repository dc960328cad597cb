//! The memory of one row.

use core::marker::PhantomData;

use execmem_types::{
    Backend, BackendError, Extent, Fill, Growth, KindSet, Mapping, PageSize, Protection, Seal, SyncScope,
};

use super::{Hooks, Memory, PoolRow};
use crate::Error;
use crate::base::handle::StageOf;
use crate::space::Space;
use crate::sync::RawMutex;

/// A row, the addresses it takes, and the memory that serves it.
#[derive(Debug)]
pub(crate) struct Seam<'e, M, S, R> {
    memory: &'e M,
    row: &'e PoolRow,
    pub(super) space: &'e Space<R>,
    of: PhantomData<fn() -> S>,
}

impl<'e, M: Memory<S>, S: KindSet, R: RawMutex> Seam<'e, M, S, R> {
    #[inline]
    pub(crate) const fn new(memory: &'e M, row: &'e PoolRow, space: &'e Space<R>) -> Self {
        Seam { memory, row, space, of: PhantomData }
    }

    #[inline]
    pub(crate) const fn row(&self) -> &'e PoolRow {
        self.row
    }

    #[inline]
    pub(crate) fn backend(&self) -> &'e M::Backend {
        self.memory.backend()
    }

    /// The kind that has the row.
    fn kind(&self) -> S {
        let Some(kind) = S::from_number(self.row.kind) else { panic!("I8: {} is none of the set", self.row.name) };
        kind
    }

    /// An error of the backend.
    pub(crate) fn refused(&self, source: BackendError) -> Error {
        Error::Backend { kind: self.row.name, source }
    }

    /// Maps an extent the way the row wants it, and tells the hook.
    pub(super) fn map(&self, extent: Extent, page: PageSize) -> Result<(), Error> {
        let mapping = Mapping {
            extent,
            page,
            protection: self.row.unpublished_protection(),
            rights: self.row.rights(),
            unused: self.row.unused,
            is_shadowed: self.row.descriptor.is_shadowed,
            is_writable_and_executable: self.row.descriptor.is_writable_and_executable,
        };
        self.backend().map(&mapping).map_err(|source| self.refused(source))?;
        self.row.events.maps.count();
        self.memory.hooks().mapped(self.kind(), extent).map_err(|source| {
            if self.backend().unmap(extent).is_err() {
                self.row.events.lost_bytes.add(extent.len());
            }
            Error::Hook { kind: self.row.name, source }
        })
    }

    /// Unmaps an extent, and tells the hook.
    pub(super) fn unmap(&self, extent: Extent) -> Result<(), BackendError> {
        self.backend().unmap(extent)?;
        self.row.events.unmaps.count();
        self.memory.hooks().unmapped(self.kind(), extent);
        Ok(())
    }

    /// Changes rights and counts it.
    pub(crate) fn protect(&self, extent: Extent, to: Protection) -> Result<(), BackendError> {
        self.backend().protect(extent, to)?;
        self.row.events.protects.count();
        Ok(())
    }

    /// Makes one leaf of a block of small ones; false if the backend cannot.
    pub(crate) fn collapse(&self, block: Extent, page: PageSize) -> bool {
        let is_done = self.backend().collapse(block, page).is_ok();
        if is_done {
            self.row.events.collapses.count();
        }
        is_done
    }

    /// Makes code known to every processor.
    #[inline]
    pub(crate) fn sync(&self, extent: Extent, scope: SyncScope) -> Result<(), BackendError> {
        if self.row.descriptor.protection.is_executable() { self.backend().sync_code(extent, scope) } else { Ok(()) }
    }

    /// The same of several extents: other processors are asked once.
    pub(crate) fn sync_all(&self, extents: &[Extent], scope: SyncScope) -> Result<(), BackendError> {
        let is_executed = self.row.descriptor.protection.is_executable() && !extents.is_empty();
        if is_executed { self.backend().sync_group(extents, scope) } else { Ok(()) }
    }

    /// Whether blocks begin with small leaves that become a large one.
    pub(crate) fn extends(&self) -> bool {
        let mut sizes = self.row.descriptor.granularities();
        let has_two = sizes.next().is_some() && sizes.next().is_some();
        has_two && self.row.descriptor.growth != Growth::Whole && self.backend().collapses()
    }

    /// Tells the hook that memory is about to be handed out.
    #[inline]
    pub(crate) fn tell_use(&self, kind: S, place: Extent) -> Result<(), Error> {
        self.memory.hooks().before_use(kind, place).map_err(|source| Error::Hook { kind: kind.into(), source })
    }

    /// Tells the hook that memory was published.
    #[inline]
    pub(crate) fn tell_published(&self, kind: S, place: Extent) {
        self.memory.hooks().published(kind, place);
    }

    /// Tells the hook that memory was freed.
    #[inline]
    pub(crate) fn tell_freed(&self, kind: S, place: Extent) {
        self.memory.hooks().freed(kind, place);
    }

    /// Writes bytes as the row wants it.
    #[inline]
    pub(crate) fn write(&self, address: u64, bytes: &[u8]) -> Result<(), BackendError> {
        self.backend().write(self.row.access(), address, bytes)
    }

    /// Gives a draft its final rights, and makes it known to every processor. It is as before if that fails.
    #[inline]
    pub(crate) fn publish(&self, extent: Extent) -> Result<(), BackendError> {
        self.make_final(extent)?;
        self.sync(extent, SyncScope::Fresh).inspect_err(|_| self.take_back(extent))
    }

    /// Gives a draft its final rights.
    #[inline]
    pub(crate) fn make_final(&self, extent: Extent) -> Result<(), BackendError> {
        let flips = self.row.descriptor.fill == Fill::Flip;
        if flips { self.protect(extent, self.row.descriptor.protection) } else { Ok(()) }
    }

    /// Makes a draft writable again that has its final rights. Where the backend refuses, the draft is read-only: the next
    /// write says so.
    #[cold]
    pub(crate) fn take_back(&self, extent: Extent) {
        if self.row.descriptor.fill == Fill::Flip {
            let _ = self.protect(extent, Protection::ReadWrite);
        }
    }

    /// Replaces published bytes, and makes that known to every processor. In memory whose rights flip, `whole` is not
    /// executable meanwhile.
    pub(crate) fn replace(&self, whole: Extent, part: Extent, bytes: &[u8]) -> Result<(), BackendError> {
        if self.row.descriptor.fill == Fill::Flip {
            self.protect(whole, Protection::ReadWrite)?;
            let written = self.write(part.start(), bytes);
            self.protect(whole, self.row.descriptor.protection)?;
            written?;
        } else {
            self.write(part.start(), bytes)?;
        }
        self.sync(part, SyncScope::Live)
    }

    /// Destroys the content of memory of a stage, and makes sure that nothing of what it was is left in a processor.
    #[inline]
    pub(crate) fn retire(&self, stage: StageOf, extent: Extent) -> Result<(), BackendError> {
        let is_flipped = self.row.descriptor.fill == Fill::Flip && stage == StageOf::Live;
        let is_sealed = self.row.descriptor.seal == Seal::Pages && stage == StageOf::Sealed;
        if is_flipped || is_sealed {
            self.protect(extent, Protection::ReadWrite)?;
        }
        self.fill(extent)?;
        self.sync(extent, SyncScope::Retired)
    }

    /// Makes memory of any stage writable, where it may not be.
    pub(crate) fn unpublish(&self, extent: Extent) -> Result<(), BackendError> {
        if self.row.changes_rights() { self.protect(extent, Protection::ReadWrite) } else { Ok(()) }
    }

    /// Puts the unused pattern where content was.
    #[inline]
    pub(crate) fn fill(&self, extent: Extent) -> Result<(), BackendError> {
        self.backend().fill(self.row.access(), extent, self.row.unused)
    }
}
