//! Content: how bytes get in, become what is executed, change, and are destroyed.
//!
//! | fill | draft | publish | patch | free |
//! |---|---|---|---|---|
//! | poke | written through another mapping | fetch learns of it | written through another mapping | trapped likewise |
//! | flip | stores, memory is read-write | rights flip | flip, store, flip | flip, trapped |
//! | direct | stores | nothing | – | zeroed |
//!
//! The callers' code is the same for all of them.
//!
//! # Invariants (I5, I7)
//!
//! Memory that is not live holds the unused pattern before it is executable and after it is freed. Published bytes
//! change only here, by `patch`.

use execmem_types::{
    Access, Backend, BackendError, CodeTag, Extent, Fill, KindTag, Protection, Seal, SyncScope, Trap, Unused,
};

use smallvec::SmallVec;

use crate::handle::{Grant, Stage, Staged as _};
use crate::pool::Pool;
use crate::sync::Locking;
use crate::{Draft, Engine, Error, Failed, Handle, Live, Operation, Writable};

impl<L: Locking> Pool<L> {
    /// The rights of memory that is not published.
    pub(crate) const fn unpublished_protection(&self) -> Protection {
        match self.descriptor.fill {
            Fill::Poke => self.descriptor.protection,
            _ if self.descriptor.is_writable_and_executable => self.descriptor.protection,
            Fill::Direct | Fill::Flip => Protection::ReadWrite,
        }
    }

    const fn access(&self) -> Access {
        match self.descriptor.fill {
            Fill::Poke => Access::Poke,
            Fill::Direct | Fill::Flip => Access::Store,
        }
    }
}

impl<B: Backend, L: Locking> Engine<B, L> {
    /// What memory of a pool holds while it is not live.
    pub(crate) fn unused_pattern(&self, pool: &Pool<L>) -> Trap {
        match pool.descriptor.unused {
            Unused::Trap => self.table().machine().trap,
            Unused::Zero => Trap::ZERO,
        }
    }

    /// Copies bytes into memory that can be written: a draft, or live data.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfBounds`], [`Error::ForeignHandle`], [`Error::Backend`]; [`Error::WrongKind`] for live memory of a
    /// kind that is known at run time only and turns out not to be writable.
    pub fn write<H: Writable>(&self, handle: &mut H, offset: u64, bytes: &[u8]) -> Result<(), Error> {
        let grant = handle.grant();
        if H::STAGE == Stage::Live && !(grant.kind.is_writable() || grant.kind.is_sealable()) {
            return Err(Error::WrongKind { kind: grant.kind, operation: Operation::Write });
        }
        self.check_owner(grant)?;
        let part = checked_part(grant, offset, bytes.len() as u64)?;
        let Some(part) = part else { return Ok(()) };
        let access = self.pool(grant.kind).access();
        self.backend.write(access, part.start(), bytes).map_err(|source| Error::Backend { kind: grant.kind, source })
    }

    /// Copies bytes out of an allocation.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfBounds`], [`Error::ForeignHandle`], [`Error::Backend`].
    pub fn read<H: Handle>(&self, handle: &H, offset: u64, bytes: &mut [u8]) -> Result<(), Error> {
        let grant = handle.grant();
        self.check_owner(grant)?;
        let Some(part) = checked_part(grant, offset, bytes.len() as u64)? else { return Ok(()) };
        self.backend.read(part.start(), bytes).map_err(|source| Error::Backend { kind: grant.kind, source })
    }

    /// Publishes a draft: code can be executed, constants cannot be written any more.
    ///
    /// # Errors
    ///
    /// [`Error::ForeignHandle`], [`Error::Backend`]; the draft comes back.
    pub fn publish<K: KindTag>(&self, draft: Draft<K>) -> Result<Live<K>, Failed<Draft<K>>> {
        let grant = draft.grant();
        match self.check_owner(grant).and_then(|()| self.publish_grant(grant)) {
            Ok(()) => Ok(Live::from_grant(draft.into_grant())),
            Err(error) => Err(Failed { handle: draft, error }),
        }
    }

    fn publish_grant(&self, grant: &Grant) -> Result<(), Error> {
        let pool = self.pool(grant.kind);
        let flips = pool.descriptor.fill == Fill::Flip;
        let outcome = if flips { self.protect(pool, grant.extent, pool.descriptor.protection) } else { Ok(()) };
        outcome.and_then(|()| self.sync(pool, grant.extent, SyncScope::Fresh)).map_err(|source| {
            if flips {
                // Failing to go back leaves a draft that is read-only: the next write says so.
                let _ = self.protect(pool, grant.extent, Protection::ReadWrite);
            }
            Error::Backend { kind: grant.kind, source }
        })
    }

    /// Changes published code.
    ///
    /// Where memory can be poked, the code stays executable and other processors see the old bytes or the new. Where
    /// it cannot, it is not executable meanwhile: nobody may execute it.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfBounds`], [`Error::ForeignHandle`], [`Error::OutOfMemory`], [`Error::WrongKind`] if it is no code.
    /// [`Error::Backend`]; the old bytes are back unless the backend refuses that too.
    pub fn patch<K: CodeTag>(&self, live: &Live<K>, offset: u64, bytes: &[u8]) -> Result<(), Error> {
        let grant = live.grant();
        if !grant.kind.is_code() {
            return Err(Error::WrongKind { kind: grant.kind, operation: Operation::Patch });
        }
        self.check_owner(grant)?;
        let Some(part) = checked_part(grant, offset, bytes.len() as u64)? else { return Ok(()) };
        let refused = |source| Error::Backend { kind: grant.kind, source };
        let mut old = SmallVec::<[u8; 64]>::new();
        old.try_reserve_exact(bytes.len()).map_err(|_| Error::OutOfMemory)?;
        old.resize(bytes.len(), 0);
        self.backend.read(part.start(), &mut old).map_err(refused)?;
        let pool = self.pool(grant.kind);
        self.replace(pool, grant.extent, part, bytes).map_err(|refusal| {
            let _ = self.replace(pool, grant.extent, part, &old);
            refused(refusal)
        })
    }

    /// Replaces published bytes.
    fn replace(&self, pool: &Pool<L>, whole: Extent, part: Extent, bytes: &[u8]) -> Result<(), BackendError> {
        if pool.descriptor.fill == Fill::Flip {
            self.protect(pool, whole, Protection::ReadWrite)?;
            let written = self.backend.write(Access::Store, part.start(), bytes);
            self.protect(pool, whole, pool.descriptor.protection)?;
            written?;
        } else {
            self.backend.write(pool.access(), part.start(), bytes)?;
        }
        self.sync(pool, part, SyncScope::Live)
    }

    /// Fills memory that is about to be freed with the unused pattern, and makes sure that nothing of what it was is
    /// left in a processor.
    pub(crate) fn retire(&self, pool: &Pool<L>, stage: Stage, extent: Extent) -> Result<(), BackendError> {
        let is_flipped = pool.descriptor.fill == Fill::Flip && stage == Stage::Live;
        let is_sealed = pool.descriptor.seal == Seal::Pages && stage == Stage::Sealed;
        if is_flipped || is_sealed {
            self.protect(pool, extent, Protection::ReadWrite)?;
        }
        self.backend.fill(pool.access(), extent, self.unused_pattern(pool))?;
        self.sync(pool, extent, SyncScope::Retired)
    }

    /// Changes rights and counts it.
    pub(crate) fn protect(&self, pool: &Pool<L>, extent: Extent, to: Protection) -> Result<(), BackendError> {
        self.backend.protect(extent, to)?;
        pool.count(|counters| counters.protects += 1);
        Ok(())
    }

    fn sync(&self, pool: &Pool<L>, extent: Extent, scope: SyncScope) -> Result<(), BackendError> {
        if pool.descriptor.protection.is_executable() { self.backend.sync_code(extent, scope) } else { Ok(()) }
    }
}

/// The part of an allocation that an access wants, `None` if it wants nothing.
fn checked_part(grant: &Grant, offset: u64, len: u64) -> Result<Option<Extent>, Error> {
    let granted = grant.extent.len();
    if offset > granted || len > granted - offset {
        return Err(Error::OutOfBounds { offset, len, granted });
    }
    Ok(grant.extent.part(offset, len))
}
