//! Memory for models: a set of mapped extents, and the bytes that were written.

use std::collections::BTreeMap;
use std::sync::Mutex;

use execmem::{BackendError, Engine, Extent, PageSize, Protection};
use execmem_arch_x86::TABLE;
use execmem_types::{Access, Backend, Mapping, SyncScope, Trap};
use loom::sync::atomic::{AtomicUsize, Ordering};

pub(crate) const BLOCK: u64 = 2 << 20;

/// What all memory holds that nobody wrote to.
pub(crate) const TRAP: u8 = 0xcc;

/// One lane, and loom's locks.
pub(crate) type Lanes = execmem::sync::OneLane<parking_lot::RawMutex>;

/// The memory. Every call is a point where loom may go on with another thread.
#[derive(Debug)]
pub(crate) struct Memory {
    calls: AtomicUsize,
    blocks: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    mapped: Vec<Extent>,
    maps: usize,
    bytes: BTreeMap<u64, u8>,
}

/// An engine that can map as many blocks.
pub(crate) fn engine(blocks: usize) -> Engine<Memory, Lanes> {
    let memory = Memory { calls: AtomicUsize::new(0), blocks, state: Mutex::default() };
    Engine::with_locks(TABLE, memory).expect("memory")
}

impl Memory {
    fn with<O>(&self, body: impl FnOnce(&mut State) -> O) -> O {
        self.calls.fetch_add(1, Ordering::AcqRel);
        body(&mut self.state.lock().expect("no panic"))
    }

    /// Blocks mapped since the start, and now.
    pub(crate) fn maps(&self) -> (usize, usize) {
        self.with(|state| (state.maps, state.mapped.len()))
    }

    /// The byte at an address.
    pub(crate) fn byte(&self, address: u64) -> u8 {
        self.with(|state| state.bytes.get(&address).copied().unwrap_or(TRAP))
    }
}

impl State {
    fn check(&self, extent: Extent) {
        assert!(self.mapped.iter().any(|mapped| mapped.covers(extent)), "{extent} is accessed and not mapped");
    }
}

impl Backend for Memory {
    fn map(&self, mapping: &Mapping) -> Result<(), BackendError> {
        self.with(|state| {
            if state.mapped.len() == self.blocks || mapping.page != PageSize::mib(2) {
                return Err(BackendError::OutOfMemory { len: mapping.extent.len(), page: mapping.page });
            }
            state.mapped.push(mapping.extent);
            state.maps += 1;
            Ok(())
        })
    }

    fn unmap(&self, extent: Extent) -> Result<(), BackendError> {
        self.with(|state| {
            state.check(extent);
            state.mapped.retain(|mapped| *mapped != extent);
            Ok(())
        })
    }

    fn protect(&self, extent: Extent, _: Protection) -> Result<(), BackendError> {
        self.with(|state| state.check(extent));
        Ok(())
    }

    fn write(&self, _: Access, address: u64, bytes: &[u8]) -> Result<(), BackendError> {
        let Some(extent) = Extent::new(address, bytes.len() as u64) else { return Ok(()) };
        self.with(|state| {
            state.check(extent);
            state.bytes.extend((address..).zip(bytes.iter().copied()));
            Ok(())
        })
    }

    fn fill(&self, _: Access, extent: Extent, _: Trap) -> Result<(), BackendError> {
        self.with(|state| {
            state.check(extent);
            state.bytes.retain(|address, _| !extent.contains(*address));
            Ok(())
        })
    }

    fn read(&self, address: u64, bytes: &mut [u8]) -> Result<(), BackendError> {
        for (address, byte) in (address..).zip(bytes) {
            *byte = self.byte(address);
        }
        Ok(())
    }

    fn sync_code(&self, _: Extent, _: SyncScope) -> Result<(), BackendError> {
        Ok(())
    }
}
