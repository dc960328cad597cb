//! Memory for Cranelift's own [`JITModule`](cranelift_jit::JITModule).
//!
//! That module writes and executes at one address, so what is writable shares no page with what is executable, and its
//! functions are freed all at once. What it gains is one window, in which everything reaches everything, few mappings,
//! and memory that comes back.
#![expect(unsafe_code, reason = "the trait has an unsafe function to implement")]

use std::io;
use std::mem;
use std::sync::Arc;

use cranelift_jit::{BranchProtection, JITMemoryKind, JITMemoryProvider};
use cranelift_module::ModuleResult;
use execmem::{Draft, Engine, Kind, Live, PowerOfTwo};
use execmem_linux::{Linux, Options, Publish};

use crate::Error;

/// What is taken from the engine at once, so that small functions share pages.
const CHUNK_BYTES: u64 = 64 << 10;

/// Kinds of memory, in the order of [`Provider::open`].
const KINDS: [Kind; 3] = [Kind::Text, Kind::Data, Kind::RoData];

/// A [`JITMemoryProvider`] over an [`Engine`] whose rights flip.
#[derive(Debug)]
pub struct Provider {
    engine: Arc<Engine<Linux>>,
    /// What is being filled, by kind.
    open: [Vec<Chunk>; KINDS.len()],
    /// What is finalized.
    live: Vec<Live>,
}

/// Memory that is handed out from its beginning on.
#[derive(Debug)]
struct Chunk {
    draft: Draft,
    used: u64,
}

impl Provider {
    /// A provider with an engine and a window of its own.
    ///
    /// # Errors
    ///
    /// [`Error::Setup`], [`Error::Memory`].
    pub fn on_linux() -> Result<Self, Error> {
        let linux = Linux::reserve(&Options::default().publish(Publish::Flip))?;
        Provider::new(Arc::new(Engine::new(linux.table()?, linux)?))
    }

    /// The same in memory where indirect branches end at landing pads only, if the processor can check that (BTI of arm64).
    /// For code that Cranelift compiles with `use_bti`; other code stops at its first indirect call.
    ///
    /// # Errors
    ///
    /// As [`on_linux`](Self::on_linux).
    pub fn with_landing_pads() -> Result<Self, Error> {
        let mut linux = Linux::reserve(&Options::default().publish(Publish::Flip))?;
        linux.guard_branches();
        Provider::new(Arc::new(Engine::new(linux.table()?, linux)?))
    }

    /// A provider over an engine that others may use too.
    ///
    /// # Errors
    ///
    /// [`Error::NotFlipping`].
    pub fn new(engine: Arc<Engine<Linux>>) -> Result<Self, Error> {
        if engine.table().can_poke(Kind::Text) {
            return Err(Error::NotFlipping);
        }
        Ok(Provider { engine, open: Default::default(), live: Vec::new() })
    }

    fn take(&mut self, index: usize, size: u64, align: PowerOfTwo) -> Result<u64, Error> {
        let chunks = &mut self.open[index];
        if let Some(start) = chunks.last_mut().and_then(|chunk| chunk.take(size, align)) {
            return Ok(start);
        }
        let least = size.saturating_add(align.bytes());
        let draft = self.engine.alloc_kind(KINDS[index], least.max(CHUNK_BYTES))?;
        let mut chunk = Chunk { draft, used: 0 };
        let start = chunk.take(size, align);
        chunks.push(chunk);
        start.ok_or(Error::Memory(execmem::Error::OutOfMemory))
    }

    fn publish(&mut self, index: usize, Chunk { mut draft, used }: Chunk) -> Result<(), Error> {
        // The rest of the chunk goes back; there is none if it is full.
        let _ = self.engine.truncate(&mut draft, used);
        match self.engine.publish(draft) {
            Ok(live) => {
                self.live.push(live);
                Ok(())
            }
            Err(failed) => {
                self.open[index].push(Chunk { draft: failed.handle, used });
                Err(failed.error.into())
            }
        }
    }

    fn free_open(&mut self) {
        for chunk in self.open.iter_mut().flat_map(mem::take) {
            let freed = self.engine.free(chunk.draft);
            debug_assert!(freed.is_ok(), "its own engine");
        }
    }
}

impl Chunk {
    fn take(&mut self, size: u64, align: PowerOfTwo) -> Option<u64> {
        let extent = self.draft.extent();
        let start = align.round_up(extent.start() + self.used)?;
        let end = start.checked_add(size)?;
        (end - extent.start() <= extent.len()).then(|| {
            self.used = end - extent.start();
            start
        })
    }
}

impl JITMemoryProvider for Provider {
    fn allocate(&mut self, size: usize, align: u64, kind: JITMemoryKind) -> io::Result<*mut u8> {
        let index = match kind {
            JITMemoryKind::Executable => 0,
            JITMemoryKind::Writable => 1,
            JITMemoryKind::ReadOnly => 2,
        };
        let align = PowerOfTwo::from_bytes(align).ok_or(io::ErrorKind::InvalidInput)?;
        let address = self.take(index, size as u64, align).map_err(io::Error::other)?;
        let address = usize::try_from(address).map_err(io::Error::other)?;
        Ok(std::ptr::with_exposed_provenance_mut(address))
    }

    unsafe fn free_memory(&mut self) {
        self.free_open();
        let freed = self.engine.free_group(&mut self.live);
        debug_assert!(freed.is_ok(), "its own engine");
    }

    /// Publishes what was filled. Whether landing pads are checked was decided when the memory was made.
    fn finalize(&mut self, _: BranchProtection) -> ModuleResult<()> {
        for index in 0..KINDS.len() {
            while let Some(chunk) = self.open[index].pop() {
                self.publish(index, chunk)?;
            }
        }
        Ok(())
    }
}

impl Drop for Provider {
    /// What was finalized and not freed stays executable, as Cranelift promises: its window is never unmapped.
    fn drop(&mut self) {
        self.free_open();
        if !self.live.is_empty() {
            mem::forget(Arc::clone(&self.engine));
        }
    }
}
