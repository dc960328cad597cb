//! dynasmrt's buffers, one a function: filled while mutable, then made executable.

use anyhow::Result;
use dynasmrt::mmap::MutableBuffer;
use dynasmrt::{AssemblyOffset, ExecutableBuffer};
use execmem::Kind;

use super::Peer;

/// Nothing: each function has a buffer of its own.
#[derive(Debug)]
pub(crate) struct Dynasmrt;

impl Peer for Dynasmrt {
    type Code = ExecutableBuffer;

    fn new(_: Kind) -> Result<Self> {
        Ok(Dynasmrt)
    }

    fn install(&self, code: &[u8]) -> Result<ExecutableBuffer> {
        let mut buffer = MutableBuffer::new(code.len())?;
        buffer.set_len(code.len());
        buffer.copy_from_slice(code);
        Ok(buffer.make_exec()?)
    }

    fn entry(&self, code: &ExecutableBuffer) -> usize {
        code.ptr(AssemblyOffset(0)).expose_provenance()
    }

    fn remove(&self, code: ExecutableBuffer) -> Result<()> {
        drop(code);
        Ok(())
    }
}
