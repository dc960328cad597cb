//! Memory of execmem for the sections that LLVM generates.

use std::mem;

use execmem::{Draft, Engine, Error, Kind, Live, PowerOfTwo, Request};
use execmem_linux::{Linux, Options, Publish, SetupError};
use inkwell::memory_manager::McjitMemoryManager;

/// The sections of modules: one allocation each, freed with the module.
///
/// LLVM knows one pointer to a section here, through which it writes and by which the section is executed. So the rights of
/// the memory change ([`Publish::Flip`]), and each section has pages of its own.
#[derive(Debug)]
pub(crate) struct Sections {
    engine: &'static Engine<Linux>,
    drafts: Vec<Draft>,
    live: Vec<Live>,
}

/// An engine whose drafts are stored to where they will be executed.
pub(crate) fn engine() -> Result<&'static Engine<Linux>, SetupError> {
    Ok(Box::leak(Box::new(Linux::engine(&Options::default().publish(Publish::Flip))?)))
}

impl Sections {
    /// Memory of an engine that [`engine`] made.
    pub(crate) const fn new(engine: &'static Engine<Linux>) -> Self {
        Sections { engine, drafts: Vec::new(), live: Vec::new() }
    }

    /// Where a section is; null if memory is exhausted, which LLVM makes a fatal error.
    fn allocate(&mut self, kind: Kind, size: usize, alignment: u32) -> *mut u8 {
        let align = PowerOfTwo::from_bytes(u64::from(alignment)).unwrap_or(PowerOfTwo::from_log2(4));
        let request = Request::new(kind, size.max(1) as u64).aligned(align);
        let Ok(draft) = self.engine.request(&request) else { return std::ptr::null_mut() };
        let address = usize::try_from(draft.address()).unwrap_or(0);
        self.drafts.push(draft);
        std::ptr::with_exposed_provenance_mut(address)
    }

    fn publish(&mut self) -> Result<(), Error> {
        self.live.extend(self.engine.publish_group(mem::take(&mut self.drafts)).map_err(|failed| failed.error)?);
        Ok(())
    }
}

impl McjitMemoryManager for Sections {
    fn allocate_code_section(&mut self, size: usize, alignment: u32, _: u32, _: &str) -> *mut u8 {
        self.allocate(Kind::Text, size, alignment)
    }

    fn allocate_data_section(&mut self, size: usize, alignment: u32, _: u32, _: &str, is_read_only: bool) -> *mut u8 {
        self.allocate(if is_read_only { Kind::RoData } else { Kind::Data }, size, alignment)
    }

    fn finalize_memory(&mut self) -> Result<(), String> {
        self.publish().map_err(|error| error.to_string())
    }

    fn destroy(&mut self) {
        // Handles of this engine are never refused.
        let _ = self.engine.free_group(&mut self.drafts);
        let _ = self.engine.free_group(&mut self.live);
    }
}
