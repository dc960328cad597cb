//! How published code changes.
//!
//! What may be promised depends on what other processors do with the bytes meanwhile:
//!
//! | meanwhile they are | call | what others see |
//! |---|---|---|
//! | executed | [`patch`](Engine::patch): as many aligned bytes as the machine fetches whole | the old or the new instruction |
//! | loaded by code, as an address or a constant | [`patch_literal`](Engine::patch_literal): an aligned word | the old or the new value |
//! | neither | [`patch_unexecuted`](Engine::patch_unexecuted): any bytes | – |
//!
//! Longer instructions that are executed are replaced by the protocol of the machine, which is made of these three: a
//! breakpoint by `patch`, what it guards by `patch_unexecuted`.

use execmem_types::{Backend, CodeTag, Extent, KindSet, KindTag};
use smallvec::SmallVec;

use super::Engine;
use crate::base::error::{Error, Operation};
use crate::base::handle::{Allocation, Live};
use crate::memory::Memory;
use crate::sync::Locking;

impl<M: Memory<S>, S: KindSet, L: Locking> Engine<M, S, L> {
    /// Changes published code that any processor may be executing: by one store, which each sees as the old bytes or the
    /// new. All processors execute the new ones once it returns.
    ///
    /// 1, 2, 4 or 8 bytes at a multiple of their number, as far as the [rule](execmem_types::PatchRule) of the machine
    /// promises that they are fetched whole: a byte where instructions have any length and the
    /// [`Features`](execmem_types::Features) say no more, an instruction where all have one length.
    ///
    /// # Errors
    ///
    /// [`Error::NotWhole`], also for every length in memory whose rights flip; [`Error::OutOfBounds`],
    /// [`Error::ForeignHandle`], [`Error::WrongKind`] if it is no code. [`Error::Backend`]; the old bytes are back unless
    /// the backend refuses that too.
    pub fn patch<K: CodeTag + KindTag<Set = S>>(&self, live: &Live<K>, offset: u64, bytes: &[u8]) -> Result<(), Error> {
        let whole = self.table().machine().whole_bytes();
        self.store(live.allocation(), offset, bytes, whole)
    }

    /// Changes a constant in published code that code loads and no processor executes, such as the address that a jump
    /// through memory goes to: by one store, which each load sees as the old value or the new.
    ///
    /// 1, 2, 4 or 8 bytes at a multiple of their number, as far as the memory stores them at once.
    ///
    /// # Errors
    ///
    /// As [`patch`](Self::patch).
    pub fn patch_literal<K: CodeTag + KindTag<Set = S>>(
        &self,
        live: &Live<K>,
        offset: u64,
        bytes: &[u8],
    ) -> Result<(), Error> {
        self.store(live.allocation(), offset, bytes, u64::MAX)
    }

    /// Changes published code of which the caller vouches that **no processor executes or loads these bytes meanwhile**:
    /// their address is not known yet, or every processor is past them. A processor that executes them all the same may see
    /// a mixture. All processors execute the new bytes once it returns. In memory whose rights flip, none of the
    /// allocation's pages are executable meanwhile.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfBounds`], [`Error::ForeignHandle`], [`Error::OutOfMemory`], [`Error::WrongKind`] if it is no code.
    /// [`Error::Backend`]; the old bytes are back unless the backend refuses that too.
    pub fn patch_unexecuted<K: CodeTag + KindTag<Set = S>>(
        &self,
        live: &Live<K>,
        offset: u64,
        bytes: &[u8],
    ) -> Result<(), Error> {
        self.patch_any(live.allocation(), offset, bytes)
    }

    /// The same, of memory of any type.
    fn patch_any(&self, live: &Allocation, offset: u64, bytes: &[u8]) -> Result<(), Error> {
        let Some(part) = self.patched_part(live, offset, bytes)? else { return Ok(()) };
        let mut old = SmallVec::<[u8; 64]>::new();
        old.try_reserve_exact(bytes.len()).map_err(|_| Error::OutOfMemory)?;
        old.resize(bytes.len(), 0);
        self.exchange(live, part, bytes, &mut old)
    }

    /// Changes at most `whole` bytes by one store.
    fn store(&self, allocation: &Allocation, offset: u64, bytes: &[u8], whole: u64) -> Result<(), Error> {
        let Some(part) = self.patched_part(allocation, offset, bytes)? else { return Ok(()) };
        let row = self.worker_of(allocation).seam.row();
        let at_once = self.memory.backend().stores_at_once().bytes();
        let whole = if row.is_executable_while_written() { whole.min(at_once) } else { 0 };
        let is_aligned = part.len().is_power_of_two() && part.start().is_multiple_of(part.len());
        if part.len() > whole || !is_aligned {
            return Err(Error::NotWhole { address: part.start(), len: part.len(), whole });
        }
        let mut old = [0; LONGEST_STORE];
        let Some(old) = old.get_mut(..bytes.len()) else {
            return Err(Error::NotWhole { address: part.start(), len: part.len(), whole: LONGEST_STORE as u64 });
        };
        self.exchange(allocation, part, bytes, old)
    }

    /// The part of live code of this engine that is to change.
    fn patched_part(&self, live: &Allocation, offset: u64, bytes: &[u8]) -> Result<Option<Extent>, Error> {
        if !S::from_number(live.kind).is_some_and(S::is_code) {
            return Err(Error::WrongKind { kind: self.name_of(live), operation: Operation::Patch });
        }
        self.check(live)?;
        live.part(offset, bytes.len() as u64)
    }

    /// Replaces bytes, and puts the old ones back if that fails.
    fn exchange(&self, allocation: &Allocation, part: Extent, bytes: &[u8], old: &mut [u8]) -> Result<(), Error> {
        let refused = |source| Error::Backend { kind: self.name_of(allocation), source };
        let worker = self.worker_of(allocation);
        worker.seam.backend().read(part.start(), old).map_err(refused)?;
        worker.seam.replace(allocation.extent(), part, bytes).map_err(|refusal| {
            let _ = worker.seam.replace(allocation.extent(), part, old);
            refused(refusal)
        })
    }
}

/// No processor stores more bytes at once in a way that others see whole.
const LONGEST_STORE: usize = 8;
