//! Several allocations in one step: all of them or none.

use alloc::vec::Vec;

use execmem_types::{Backend, Kind, kinds::Any};

use crate::sync::Locking;
use crate::{Draft, Engine, Error};

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
                    for draft in drafts {
                        // A draft of this engine is always accepted.
                        let _ = self.free(draft);
                    }
                    return Err(error);
                }
            }
        }
        Ok(drafts)
    }
}
