//! The memory provider of cranelift-jit, one a function: that is the only way it has to free single functions.

use anyhow::{Context as _, Result};
use cranelift_jit::{BranchProtection, JITMemoryKind, JITMemoryProvider as _, SystemMemoryProvider};
use execmem::Kind;

use super::Peer;

const ALIGNMENT_BYTES: u64 = 16;

/// Nothing: each function has a provider of its own.
#[derive(Debug)]
pub(crate) struct Cranelift;

/// A function and the provider of its memory.
pub(crate) struct Provided {
    provider: Box<SystemMemoryProvider>,
    entry: usize,
}

impl Peer for Cranelift {
    type Code = Provided;

    fn new(_: Kind) -> Result<Self> {
        Ok(Cranelift)
    }

    fn install(&self, code: &[u8]) -> Result<Provided> {
        let mut provider = Box::new(SystemMemoryProvider::new());
        let start = provider.allocate(code.len(), ALIGNMENT_BYTES, JITMemoryKind::Executable)?;
        // SAFETY: the provider returned that much fresh memory, writable until it is finalized.
        unsafe { start.copy_from_nonoverlapping(code.as_ptr(), code.len()) };
        provider.finalize(BranchProtection::None).ok().context("finalize")?;
        Ok(Provided { provider, entry: start.expose_provenance() })
    }

    fn entry(&self, code: &Provided) -> usize {
        code.entry
    }

    fn remove(&self, mut code: Provided) -> Result<()> {
        // SAFETY: no processor executes the function any more, or has a pointer to it.
        unsafe { code.provider.free_memory() };
        Ok(())
    }
}
