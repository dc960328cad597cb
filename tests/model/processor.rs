//! A processor that executes code while it changes: how instruction fetch sees memory.
//!
//! What is modelled, and what is real: clients and engine are the real ones; this is the machine below them. A byte of
//! code that matters is a *cell*, an atomic of its own that is stored and fetched without any order, so a fetch finds what
//! stands there or anything that stood there before, each byte for itself. Reading data does not make fetch newer, so all
//! that a model knows of progress is unordered as well. Two things make it newer:
//!
//! - `sync_code`, which interrupts the processor between two instructions, as `membarrier(SYNC_CORE)` does;
//! - a breakpoint that is hit: an exception serialises, and stores are seen in their order.
//!
//! A processor is *inside* from a call to its end; a grace period ends when it was outside once.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use execmem::{BackendError, Engine, Extent, Kind, Protection, Table};
use execmem_arch_x86::TABLE;
use execmem_clients::patch::Breakpoints;
use execmem_types::{Access, Backend, Describe, Mapping, SyncScope, Trap};
use loom::sync::atomic::{AtomicU64, Ordering, fence};
use loom::sync::{Arc, Mutex};

use crate::memory::{Lanes, Memory, TRAP};

/// An engine over memory that a processor executes.
pub(crate) type Machine = Arc<Engine<Watched, Kind, Lanes>>;

/// One of x86-64.
pub(crate) fn machine() -> Machine {
    machine_of(TABLE)
}

/// One that follows a table.
pub(crate) fn machine_of(table: Table) -> Machine {
    let watched = Watched {
        memory: Memory::of(2),
        cells: OnceLock::new(),
        boundary: Mutex::new(()),
        inside: Mutex::new(()),
        resume: AtomicU64::new(0),
    };
    Arc::new(Engine::with_locks(table, watched).expect("memory"))
}

/// Memory with some cells, and the processor that fetches from them.
#[derive(Debug)]
pub(crate) struct Watched {
    memory: Memory,
    /// By address.
    cells: OnceLock<BTreeMap<u64, Cell>>,
    /// Held while an instruction is fetched.
    boundary: Mutex<()>,
    /// Held by a processor that is inside.
    inside: Mutex<()>,
    /// Where a processor goes on that hits the breakpoint; zero if none is armed.
    resume: AtomicU64,
}

/// Bytes that are stored in one piece: one, or a word.
#[derive(Debug)]
struct Cell {
    len: usize,
    content: AtomicU64,
}

impl Watched {
    /// Makes cells of `len` bytes at these addresses. Once, before anybody executes them.
    pub(crate) fn watch(&self, len: usize, addresses: impl IntoIterator<Item = u64>) {
        let cell = |address| {
            let mut bytes = [0; 8];
            self.memory.peek(address, &mut bytes[..len]);
            (address, Cell { len, content: AtomicU64::new(u64::from_le_bytes(bytes)) })
        };
        self.cells.set(addresses.into_iter().map(cell).collect()).expect("once");
    }

    /// An instruction, or as much of it as matters.
    pub(crate) fn fetch<const N: usize>(&self, address: u64) -> [u8; N] {
        let mut bytes = [0; N];
        self.memory.peek(address, &mut bytes);
        let _boundary = self.boundary.lock().expect("no panic");
        for (start, cell) in self.cells_in(address, N) {
            let content = cell.content.load(Ordering::Relaxed).to_le_bytes();
            bytes[start..start + cell.len].copy_from_slice(&content[..cell.len]);
        }
        bytes
    }

    /// Executes what stands at an x86 site: a nop, a call or a jump. Returns where the processor goes.
    pub(crate) fn step(&self, site: u64) -> u64 {
        loop {
            let bytes = self.fetch::<5>(site);
            let distance = i32::from_le_bytes([bytes[1], bytes[2], bytes[3], bytes[4]]);
            match bytes[0] {
                0xe8 | 0xe9 => return (site + 5).wrapping_add_signed(distance.into()),
                TRAP => {
                    fence(Ordering::Acquire);
                    match self.resume.load(Ordering::Acquire) {
                        // It is over: the instruction that replaced the breakpoint is executed.
                        0 => {}
                        resume => return resume,
                    }
                }
                _ => {
                    assert_eq!(bytes, [0x0f, 0x1f, 0x44, 0, 0], "no instruction that was ever there");
                    return site + 5;
                }
            }
        }
    }

    /// What is executed from a call to its end.
    pub(crate) fn inside<O>(&self, body: impl FnOnce() -> O) -> O {
        let _inside = self.inside.lock().expect("no panic");
        body()
    }

    /// Waits until the processor was outside.
    pub(crate) fn grace(&self) {
        self.inside(|| ());
    }

    /// The cells in an extent, with their offsets.
    fn cells_in(&self, address: u64, len: usize) -> impl Iterator<Item = (usize, &Cell)> {
        let cells = self.cells.get().into_iter().flat_map(move |cells| cells.range(address..address + len as u64));
        cells.map(move |(start, cell)| (usize::try_from(start - address).expect("inside"), cell))
    }

    /// Stores what changes, in the order of addresses, which no other code has to see.
    fn store(&self, address: u64, bytes: &[u8]) {
        for (start, cell) in self.cells_in(address, bytes.len()) {
            let mut content = [0; 8];
            content[..cell.len].copy_from_slice(&bytes[start..start + cell.len]);
            let content = u64::from_le_bytes(content);
            if cell.content.load(Ordering::Relaxed) != content {
                cell.content.store(content, Ordering::Release);
            }
        }
    }
}

impl Breakpoints for Watched {
    fn arm(&self, _site: u64, resume: u64) {
        self.resume.store(resume, Ordering::Release);
    }
    fn disarm(&self, _site: u64) {
        self.resume.store(0, Ordering::Release);
    }
}

/// A model looks at all of its memory.
impl Describe for Watched {
    type Facts<'m> = &'m Watched;

    fn facts(&self) -> &Watched {
        self
    }
}

impl Backend for Watched {
    fn map(&self, mapping: &Mapping) -> Result<(), BackendError> {
        self.memory.map(mapping)
    }

    fn unmap(&self, extent: Extent) -> Result<(), BackendError> {
        self.memory.unmap(extent)
    }

    fn protect(&self, extent: Extent, to: Protection) -> Result<(), BackendError> {
        self.memory.protect(extent, to)
    }

    fn write(&self, access: Access, address: u64, bytes: &[u8]) -> Result<(), BackendError> {
        self.memory.write(access, address, bytes)?;
        self.store(address, bytes);
        Ok(())
    }

    fn fill(&self, access: Access, extent: Extent, trap: Trap) -> Result<(), BackendError> {
        self.memory.fill(access, extent, trap)?;
        self.store(extent.start(), &vec![TRAP; usize::try_from(extent.len()).expect("small")]);
        Ok(())
    }

    fn read(&self, address: u64, bytes: &mut [u8]) -> Result<(), BackendError> {
        self.memory.read(address, bytes)
    }

    fn sync_code(&self, _: Extent, _: SyncScope) -> Result<(), BackendError> {
        drop(self.boundary.lock().expect("no panic"));
        Ok(())
    }
}
