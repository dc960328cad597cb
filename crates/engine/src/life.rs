//! The end of allocations, and cutting them: free, truncate, split.

use execmem_types::{Backend, Extent, PowerOfTwo, Seal};

use crate::handle::{Grant, Stage};
use crate::pool::Pool;
use crate::shard::{Shard, Site};
use crate::sync::Locking;
use crate::{Engine, Error, Failed, Handle};

/// Allocations that are freed under one lock at most: it is held that much longer.
pub(crate) const TOGETHER: usize = 8;

impl<B: Backend, L: Locking> Engine<B, L> {
    /// Frees memory of any stage. Its content is destroyed before anybody else can get it.
    ///
    /// Never needs memory. If the backend refuses to destroy the content, the bytes are quarantined: not reused, and
    /// counted in [`Counters::quarantined_bytes`](crate::Counters::quarantined_bytes).
    ///
    /// # Errors
    ///
    /// [`Error::ForeignHandle`]; the handle comes back.
    pub fn free<H: Handle>(&self, handle: H) -> Result<(), Failed<H>> {
        if let Err(error) = self.check_owner(handle.grant()) {
            return Err(Failed { handle, error });
        }
        self.free_together(core::slice::from_ref(&handle));
        Ok(())
    }

    /// Frees allocations in one window of one shard under one lock: at most [`TOGETHER`], of this engine.
    pub(crate) fn free_together<H: Handle>(&self, handles: &[H]) {
        let Some(&Grant { kind, site, extent, .. }) = handles.first().map(H::grant) else { return };
        let pool = self.pool(kind);
        let mut are_retired = [false; TOGETHER];
        for (handle, is_retired) in handles.iter().zip(&mut are_retired) {
            *is_retired = self.retire_grant(pool, H::STAGE, handle.grant());
        }
        let may_go = pool.shard_to_free_in(site).with(|shard| {
            let mut may_go = false;
            for (handle, is_retired) in handles.iter().zip(&are_retired) {
                may_go |= shard.free_grant(handle.grant(), *is_retired);
            }
            may_go
        });
        if may_go {
            self.let_go(pool, site, extent);
        }
    }

    /// Destroys the content of an allocation. If the backend refuses, its bytes are quarantined, and it is false.
    fn retire_grant(&self, pool: &Pool<L>, stage: Stage, grant: &Grant) -> bool {
        let retired = match pool.descriptor.seal {
            Seal::Block => pool.change.with(|()| self.retire_in_blocks(pool, stage, grant)),
            Seal::Never | Seal::Pages => self.retire(pool, stage, grant.extent),
        };
        if retired.is_err() {
            pool.events.with(|events| {
                events.counters.quarantined_bytes += grant.extent.len();
                events.quarantined_live_bytes += grant.extent.len();
            });
        }
        retired.is_ok()
    }

    /// Unmaps the empty blocks that nobody needs of the region that held an extent.
    pub(crate) fn let_go(&self, pool: &Pool<L>, site: Site, extent: Extent) {
        let take = |shard: &mut Shard| shard.region_at(site, extent.start())?.take_unneeded();
        while let Some(block) = pool.shard(site).with(take) {
            self.unmap(pool, &[block]);
        }
    }

    /// Shortens an allocation to `len` bytes, rounded up to the quantum of its kind, and frees the rest.
    ///
    /// # Errors
    ///
    /// [`Error::BadCut`] unless some bytes stay and some go; [`Error::ForeignHandle`], [`Error::OutOfMemory`].
    pub fn truncate<H: Handle>(&self, handle: &mut H, len: u64) -> Result<(), Error> {
        let unit = self.table().quantum(handle.kind());
        let rest = self.split_off(H::STAGE, handle.grant_mut(), len, unit).map(H::from_grant)?;
        self.free_together(&[rest]);
        Ok(())
    }

    /// Cuts an allocation in two of the same stage and kind after `len` bytes, rounded up to the quantum and the
    /// alignment of its kind. The handle keeps the first part; the second is returned, and is freed by itself.
    ///
    /// # Errors
    ///
    /// [`Error::BadCut`] unless both parts have bytes; [`Error::ForeignHandle`], [`Error::OutOfMemory`].
    pub fn split<H: Handle>(&self, handle: &mut H, len: u64) -> Result<H, Error> {
        let unit = self.table().quantum(handle.kind()).max(self.table().alignment(handle.kind()));
        self.split_off(H::STAGE, handle.grant_mut(), len, unit).map(H::from_grant)
    }

    fn split_off(&self, stage: Stage, grant: &mut Grant, len: u64, unit: PowerOfTwo) -> Result<Grant, Error> {
        self.check_owner(grant)?;
        let bad_cut = Error::BadCut { len, extent: grant.extent };
        let rounded = unit.round_up(len).unwrap_or(u64::MAX);
        if rounded == 0 || rounded >= grant.extent.len() {
            return Err(bad_cut);
        }
        let pool = self.pool(grant.kind);
        let cut = || {
            pool.shard(grant.site).with(|shard| {
                let region = shard.region_at(grant.site, grant.extent.start()).ok_or(bad_cut)?;
                let halves = region.split(grant.extent.start(), rounded)?;
                if pool.descriptor.seal == Seal::Block && stage != Stage::Sealed {
                    region.recount(grant.extent, halves);
                }
                shard.kinds[grant.kind.index()].live += 1;
                shard.kinds[grant.kind.index()].allocations += 1;
                Ok::<[Extent; 2], Error>(halves)
            })
        };
        let [first, second] = if pool.descriptor.seal == Seal::Block { pool.change.with(|()| cut()) } else { cut() }?;
        let requested = grant.requested.min(first.len());
        let rest = Grant { extent: second, requested: grant.requested - requested, ..*grant };
        (grant.extent, grant.requested) = (first, requested);
        Ok(rest)
    }
}
