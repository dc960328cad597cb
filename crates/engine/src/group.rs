//! Several allocations in one step.

use alloc::vec::Vec;

use execmem_types::{Backend, Kind, kinds::Any};
use smallvec::SmallVec;

use crate::handle::{Grant, Stage};
use crate::shard::Site;
use crate::sync::Locking;
use crate::{Draft, Engine, Error, Handle};

/// Allocations that are freed under one lock at most: it is held that much longer.
const TOGETHER: usize = 8;

impl<B: Backend, L: Locking> Engine<B, L> {
    /// Allocates every one of `wanted` (kind and bytes), or none: the kinds of a module's sections, say.
    ///
    /// # Errors
    ///
    /// The first that fails, as [`alloc`](Self::alloc). What was allocated before it is free again.
    pub fn alloc_group(&self, wanted: &[(Kind, u64)]) -> Result<Vec<Draft<Any>>, Error> {
        let mut drafts = Vec::new();
        drafts.try_reserve_exact(wanted.len()).map_err(|_| Error::OutOfMemory)?;
        for &(kind, len) in wanted {
            match self.alloc_kind(kind, len) {
                Ok(draft) => drafts.push(draft),
                Err(error) => {
                    // Drafts of this engine are always accepted.
                    let _ = self.free_group(&mut drafts);
                    return Err(error);
                }
            }
        }
        Ok(drafts)
    }

    /// Frees many allocations, each as [`free`](Self::free) does. Takes a lock for several of them: for whoever empties a
    /// cache of code, or frees what other threads use no more.
    ///
    /// # Errors
    ///
    /// [`Error::ForeignHandle`] of the first of those that other engines made. They stay in `handles`; all others are free.
    pub fn free_group<H: Handle>(&self, handles: &mut Vec<H>) -> Result<(), Error> {
        let mut foreign = 0;
        for index in 0..handles.len() {
            if self.check_owner(handles[index].grant()).is_err() {
                handles.swap(foreign, index);
                foreign += 1;
            }
        }
        let mut ours = handles.drain(foreign..).map(H::into_grant);
        loop {
            let some: SmallVec<[Grant; TOGETHER]> = ours.by_ref().take(TOGETHER).collect();
            if some.is_empty() {
                break;
            }
            some.chunk_by(|one, other| self.place_of(one) == self.place_of(other))
                .for_each(|neighbours| self.free_neighbours(H::STAGE, neighbours));
        }
        drop(ours);
        handles.first().map_or(Ok(()), |foreign| self.check_owner(foreign.grant()))
    }

    /// The pool and the shard in it.
    fn place_of(&self, grant: &Grant) -> (u8, Site) {
        (self.pool(grant.kind).number, grant.site)
    }

    /// Frees allocations in the same window of the same shard.
    fn free_neighbours(&self, stage: Stage, grants: &[Grant]) {
        let Some(Grant { kind, site, extent, .. }) = grants.first() else { return };
        let pool = self.pool(*kind);
        let retired: SmallVec<[bool; TOGETHER]> =
            grants.iter().map(|grant| self.retire_grant(pool, stage, grant)).collect();
        let may_go = pool.shard_to_free_in(*site).with(|shard| {
            let freed = grants.iter().zip(&retired).map(|(grant, is_retired)| shard.free_grant(grant, *is_retired));
            freed.fold(false, core::ops::BitOr::bitor)
        });
        if may_go {
            self.let_go(pool, *site, *extent);
        }
    }
}
