//! Several allocations in one step.

use alloc::vec::Vec;

use execmem_types::{Backend, Kind, kinds::Any};

use crate::life::TOGETHER;
use crate::shard::Site;
use crate::sync::Locking;
use crate::{Draft, Engine, Error, Handle};

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
        let is_ours = |handle: &H| self.check_owner(handle.grant()).is_ok();
        handles.sort_unstable_by_key(is_ours);
        let foreign = handles.partition_point(|handle| !is_ours(handle));
        for neighbours in handles[foreign..].chunk_by(|one, other| self.home_of(one) == self.home_of(other)) {
            neighbours.chunks(TOGETHER).for_each(|some| self.free_together(some));
        }
        handles.truncate(foreign);
        handles.first().map_or(Ok(()), |foreign| self.check_owner(foreign.grant()))
    }

    /// The pool of an allocation, and the window and shard in it.
    fn home_of(&self, handle: &impl Handle) -> (u8, Site) {
        let grant = handle.grant();
        (self.pool(grant.kind).number, grant.site)
    }
}
