//! Memory for models: a set of mapped extents, and the bytes that were written.

use std::collections::BTreeMap;
use std::sync::Mutex;

use execmem::{BackendError, Engine, Extent, Kind, PageSize, Protection};
use execmem_arch_x86::TABLE;
use execmem_types::{Access, Backend, Describe, Mapping, SyncScope, Trap};
use loom::sync::atomic::{AtomicUsize, Ordering};

pub(crate) const BLOCK: u64 = 2 << 20;

/// What all memory holds that was not written to.
pub(crate) const TRAP: u8 = 0xcc;

/// One lane, and loom's locks.
pub(crate) type Lanes = execmem::sync::OneShard<parking_lot::RawMutex>;

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
pub(crate) fn engine(blocks: usize) -> Engine<Memory, Kind, Lanes> {
    Engine::with_locks(TABLE, Memory::of(blocks)).expect("memory")
}

impl Memory {
    /// Memory for as many blocks.
    pub(crate) fn of(blocks: usize) -> Self {
        Memory { calls: AtomicUsize::new(0), blocks, state: Mutex::default() }
    }

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
        self.with(|state| state.byte(address))
    }

    /// Bytes, without giving loom a point to go on with another thread.
    pub(crate) fn peek(&self, address: u64, bytes: &mut [u8]) {
        self.state.lock().expect("no panic").read(address, bytes);
    }
}

impl State {
    fn byte(&self, address: u64) -> u8 {
        self.bytes.get(&address).copied().unwrap_or(TRAP)
    }

    fn read(&self, address: u64, bytes: &mut [u8]) {
        (address..).zip(bytes).for_each(|(address, byte)| *byte = self.byte(address));
    }

    fn check(&self, extent: Extent) {
        assert!(self.mapped.iter().any(|mapped| mapped.covers(extent)), "{extent} is accessed and not mapped");
    }
}

/// A model looks at all of its memory.
impl Describe for Memory {
    type Facts<'m> = &'m Memory;

    fn facts(&self) -> &Memory {
        self
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
        self.with(|state| state.read(address, bytes));
        Ok(())
    }

    fn sync_code(&self, _: Extent, _: SyncScope) -> Result<(), BackendError> {
        Ok(())
    }
}
