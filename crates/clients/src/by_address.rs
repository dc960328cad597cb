//! Code that its user knows by address alone, for crates that many kernels share.
//!
//! Such a crate asks its kernel for executable memory, for a pointer to write there, and to take the memory back: `kprobe` by
//! its trait `KprobeAuxiliaryOps`, say. Kernels answer with a page that is writable and executable, or whose rights they
//! change. [`CodeByAddress`] answers with a few bytes among others in a large page, and with a private copy to write to.
//!
//! ```
//! use execmem::{Engine, kinds::Kprobe};
//! use execmem_arch_x86::TABLE;
//! use execmem_clients::by_address::CodeByAddress;
//! use execmem_sim::Sim;
//!
//! let engine = Engine::new(TABLE, Sim::new(TABLE.machine()))?;
//! let slots = CodeByAddress::<_, Kprobe>::new(&engine, 1 << 20);
//!
//! let slot = slots.alloc(16)?;
//! slots.edit(slot, 3, |bytes| bytes.copy_from_slice(&[0x0f, 0x1f, 0x00]))?; // nop
//! slots.free(slot)?;
//! assert!(slots.free(slot).is_err());
//! # Ok::<(), Box<dyn core::error::Error>>(())
//! ```

use alloc::vec::Vec;

use execmem::sync::{Lock, Locking};
use execmem::{CodeTag, EngineOf, EngineRef, KnownKind, Live};
use hashbrown::HashMap;

use crate::Error;
use crate::account::{Account, Credit, Usage};
use crate::growth::{fill_up, no_heap};

/// Code of one kind, by address.
///
/// Each method takes a lock that may sleep, and allocations and frees do what those of the engine do. No method may be called
/// from the closure of [`edit`](Self::edit).
#[derive(Debug)]
pub struct CodeByAddress<E: EngineRef, K: KnownKind<Set = E::Set>> {
    home: E,
    state: Lock<<E::Locks as Locking>::Sleep, State<K>>,
}

#[derive(Debug)]
struct State<K: KnownKind> {
    /// By first address.
    held: HashMap<u64, Live<K>>,
    account: Account,
}

impl<E: EngineRef, K: KnownKind<Set = E::Set> + CodeTag> CodeByAddress<E, K> {
    /// None yet, and at most `limit` bytes at a time.
    pub fn new(home: E, limit: u64) -> Self {
        CodeByAddress { home, state: Lock::new(State { held: HashMap::new(), account: Account::new(limit) }) }
    }

    fn engine(&self) -> &EngineOf<E> {
        self.home.engine()
    }

    /// Allocates at least `len` bytes and returns their address. They trap until they are [edited](Self::edit).
    ///
    /// # Errors
    ///
    /// [`Error::OverLimit`], [`Error::Engine`] as `Engine::alloc` and `publish`.
    pub fn alloc(&self, len: u64) -> Result<u64, Error> {
        let bytes = self.engine().table().quantum(K::KIND).round_up(len).unwrap_or(len);
        self.state.with(|state| {
            state.held.try_reserve(1).map_err(no_heap)?;
            state.account.charge(bytes, Credit::Limited)?;
            let code = self.publish(len).inspect_err(|_| state.account.cancel(bytes))?;
            let address = code.address();
            state.held.insert(address, code);
            Ok(address)
        })
    }

    fn publish(&self, len: u64) -> Result<Live<K>, Error> {
        let draft = self.engine().alloc::<K>(len)?;
        self.engine().publish(draft).map_err(|failed| {
            // A draft of this engine is always accepted.
            let _ = self.engine().free(failed.handle);
            failed.error.into()
        })
    }

    /// Changes `len` bytes at an address: `change` gets a copy of them, and what it left there is what processors execute
    /// when this returns.
    ///
    /// Where all that changed is one aligned piece that the machine fetches whole, it changes by one store, as with
    /// `Engine::patch`: a breakpoint is put anywhere, at any time. Otherwise the caller vouches that no processor executes
    /// these bytes meanwhile, as with `Engine::patch_unexecuted`.
    ///
    /// # Errors
    ///
    /// [`Error::Engine`]: `NotFound` if nothing is allocated there, `OutOfBounds` if it is shorter, `OutOfMemory`, `Backend`.
    pub fn edit(&self, address: u64, len: usize, change: impl FnOnce(&mut [u8])) -> Result<(), Error> {
        self.state.with(|state| {
            let not_found = Error::Engine(execmem::Error::NotFound { address });
            let start = self.engine().find(address).ok_or(not_found)?.extent.start();
            let code = state.held.get(&start).ok_or(not_found)?;
            let (mut before, mut after) = (Vec::new(), Vec::new());
            fill_up(&mut before, len)?;
            fill_up(&mut after, len)?;
            let offset = address - start;
            self.engine().read(code, offset, &mut before)?;
            after.copy_from_slice(&before);
            change(&mut after);
            let differs = || (0..len).filter(|index| before[*index] != after[*index]);
            let (Some(first), Some(last)) = (differs().next(), differs().next_back()) else { return Ok(()) };
            let (offset, bytes) = (offset + first as u64, &after[first..=last]);
            match self.engine().patch(code, offset, bytes) {
                Err(execmem::Error::NotWhole { .. }) => Ok(self.engine().patch_unexecuted(code, offset, bytes)?),
                outcome => Ok(outcome?),
            }
        })
    }

    /// Frees what was allocated at an address. No processor may be in it, or come there any more. Takes no heap.
    ///
    /// # Errors
    ///
    /// [`Error::Engine`] with `NotFound` if nothing was, or it is free already.
    pub fn free(&self, address: u64) -> Result<(), Error> {
        let not_found = Error::Engine(execmem::Error::NotFound { address });
        self.state.with(|state| {
            let code = state.held.remove(&address).ok_or(not_found)?;
            state.account.uncharge(code.extent().len());
            self.engine().free(code).map_err(|failed| failed.error.into())
        })
    }

    /// Frees everything. No processor may be in any of it.
    pub fn close(self) {
        self.state.with(|state| {
            state.held.drain().for_each(|(_, code)| {
                // It is of this engine, which always accepts it.
                let _ = self.engine().free(code);
            });
        });
    }

    /// What is held.
    pub fn usage(&self) -> Usage {
        self.state.with(|state| state.account.usage())
    }
}
