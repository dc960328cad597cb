//! Sealing: data that is written during initialisation and read-only afterwards.

use execmem_types::{BackendError, KindSet, Seal, SealableTag};

use super::Engine;
use crate::base::error::{Error, Failed, Operation};
use crate::base::handle::{Allocation, Live, Sealed};
use crate::memory::Memory;
use crate::sync::Locking;

impl<M: Memory<S>, S: KindSet, L: Locking> Engine<M, S, L> {
    /// Makes initialised data read-only. By pages, the allocation's own change their rights; by block, the block does when
    /// everything in it is sealed. Takes the lock of changes.
    ///
    /// # Errors
    ///
    /// [`Error::ForeignHandle`], [`Error::Backend`]; [`Error::WrongKind`] if the kind is known at run time only and
    /// turns out to have no seal. The handle comes back.
    pub fn seal<K: SealableTag + execmem_types::KindTag<Set = S>>(
        &self,
        live: Live<K>,
    ) -> Result<Sealed<K>, Failed<Live<K>>> {
        if !live.kind().is_sealable() {
            let error = Error::WrongKind { kind: live.kind().into(), operation: Operation::Seal };
            return Err(Failed { handle: live, error });
        }
        let allocation = live.allocation();
        let sealed = self.check(allocation).and_then(|()| {
            let kind = self.name_of(allocation);
            self.seal_allocation(allocation).map_err(|source| Error::Backend { kind, source })
        });
        match sealed {
            Ok(()) => Ok(live.advance()),
            Err(error) => Err(Failed { handle: live, error }),
        }
    }

    fn seal_allocation(&self, allocation: &Allocation) -> Result<(), BackendError> {
        let worker = self.worker_of(allocation);
        let descriptor = &worker.pool.row.descriptor;
        match descriptor.seal {
            Seal::Never => Ok(()),
            Seal::Pages => worker.seam.protect(allocation.extent(), descriptor.protection),
            Seal::Block => {
                let close = || worker.close_blocks(allocation.location, allocation.extent());
                worker.pool.change.with(|()| close())
            }
        }
    }
}
