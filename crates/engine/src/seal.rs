//! Sealing: data that is written during initialisation and read-only afterwards.
//!
//! By pages, sealing is a change of rights of the allocation's own pages. By block, a block counts the allocations in
//! it that are not sealed: it is writable while there are any and read-only when there are none, so its large leaf
//! stays whole. All of that happens under the pool's change lock; allocating here is rare, and takes it as well.

use execmem_types::{Access, Backend, BackendError, Extent, Growth, Protection, Seal, SealableTag};

use crate::block::Block;
use crate::handle::{Grant, Stage, Staged as _};
use crate::pool::Pool;
use crate::region::Want;
use crate::shard::Site;
use crate::sync::Locking;
use crate::{Engine, Error, Failed, Live, Operation, Sealed};

impl<B: Backend, L: Locking> Engine<B, L> {
    /// Makes initialised data read-only.
    ///
    /// # Errors
    ///
    /// [`Error::ForeignHandle`], [`Error::Backend`]; [`Error::WrongKind`] if the kind is known at run time only and
    /// turns out to have no seal. The handle comes back.
    pub fn seal<K: SealableTag>(&self, live: Live<K>) -> Result<Sealed<K>, Failed<Live<K>>> {
        let grant = live.grant();
        match self.check_owner(grant).and_then(|()| self.seal_grant(grant)) {
            Ok(()) => Ok(Sealed::from_grant(live.into_grant())),
            Err(error) => Err(Failed { handle: live, error }),
        }
    }

    fn seal_grant(&self, grant: &Grant) -> Result<(), Error> {
        let pool = self.pool(grant.kind);
        if !grant.kind.is_sealable() {
            return Err(Error::WrongKind { kind: grant.kind, operation: Operation::Seal });
        }
        let outcome = match pool.descriptor.seal {
            Seal::Never => Ok(()),
            Seal::Pages => self.protect(pool, grant.extent, pool.descriptor.protection),
            Seal::Block => pool.change.with(|()| self.close_blocks(pool, grant.site, grant.extent)),
        };
        outcome.map_err(|source| Error::Backend { kind: grant.kind, source })
    }

    /// Counts a new allocation in the blocks it touches, and makes those writable that are not. Under the change lock.
    pub(crate) fn open_blocks(&self, pool: &Pool<L>, site: Site, extent: Extent) -> Result<(), Error> {
        for block in self.blocks_of(pool, site, extent) {
            let is_closed = block.open == 0 && block.is_closed;
            let opened = if is_closed { self.protect(pool, block.extent, Protection::ReadWrite) } else { Ok(()) };
            if let Err(source) = opened {
                let done = Extent::between(extent.start(), block.extent.start().into());
                // Closing what was opened may fail as well; it is then writable and counts as open to the next.
                let _ = done.map(|done| self.close_blocks(pool, site, done));
                return Err(Error::Backend { kind: pool.kind, source });
            }
            self.update_block(pool, site, block, |block| {
                block.open += 1;
                block.is_closed = false;
            });
        }
        Ok(())
    }

    /// Takes an allocation out of the count of the blocks it touches, and makes those read-only that have no other.
    /// Under the change lock.
    pub(crate) fn close_blocks(&self, pool: &Pool<L>, site: Site, extent: Extent) -> Result<(), BackendError> {
        let blocks = self.blocks_of(pool, site, extent);
        for (index, block) in blocks.iter().enumerate() {
            if block.open == 1
                && let Err(refusal) = self.protect(pool, block.extent, pool.descriptor.protection)
            {
                // Everything before stays counted; what became read-only must be writable again.
                for closed in blocks[..index].iter().filter(|closed| closed.open == 1) {
                    let _ = self.protect(pool, closed.extent, Protection::ReadWrite);
                }
                return Err(refusal);
            }
        }
        for block in blocks {
            self.update_block(pool, site, block, |block| {
                block.open -= 1;
                block.is_closed = block.open == 0;
            });
            let is_large = pool.descriptor.granularities().next() == Some(block.page);
            if pool.descriptor.growth == Growth::Tail && block.is_complete() && !is_large {
                // Growing it while other pages of it were read-only could not make one leaf of it.
                self.collapse(pool, site, block.extent);
            }
        }
        Ok(())
    }

    /// Destroys the content of an allocation in blocks that are sealed as a whole. Under the change lock.
    pub(crate) fn retire_in_blocks(&self, pool: &Pool<L>, stage: Stage, grant: &Grant) -> Result<(), BackendError> {
        if stage == Stage::Sealed {
            self.open_blocks(pool, grant.site, grant.extent).map_err(|error| match error {
                Error::Backend { source, .. } => source,
                _ => BackendError::Unsupported,
            })?;
        }
        let wiped = self.backend.fill(Access::Store, grant.extent, self.unused_pattern(pool));
        self.close_blocks(pool, grant.site, grant.extent)?;
        wiped
    }

    /// Forgets an allocation that could not be opened.
    pub(crate) fn give_back(&self, pool: &Pool<L>, want: &Want, site: Site, extent: Extent) {
        let freed = pool.shard(site).with(|shard| {
            shard.ungranted(want.kind, extent.len(), want.requested);
            shard.free(site, extent.start())
        });
        if freed == Some(true) {
            self.let_go(pool, site, extent);
        }
    }

    fn blocks_of(&self, pool: &Pool<L>, site: Site, extent: Extent) -> alloc::vec::Vec<Block> {
        pool.shard(site).with(|shard| {
            shard.region_at(site, extent.start()).map(|region| region.blocks_of(extent).to_vec()).unwrap_or_default()
        })
    }

    fn update_block(&self, pool: &Pool<L>, site: Site, block: Block, update: impl Fn(&mut Block)) {
        pool.shard(site).with(|shard| {
            if let Some(region) = shard.region_at(site, block.extent.start()) {
                region.blocks_of(block.extent).iter_mut().for_each(update);
            }
        });
    }
}
