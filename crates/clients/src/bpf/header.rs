//! The header in front of a program: how long all of it is. Read-only, as it lies in executable memory.

use execmem::{EngineOf, EngineRef, KindTag, Live};

/// Bytes of a header (`struct bpf_binary_header`: a size, and alignment of what follows to 8).
pub const HEADER_BYTES: u64 = 8;

/// A header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Bytes of the program: header, hole, image and rest.
    pub len: u64,
}

impl Header {
    /// Writes the header at the start of a twin.
    pub(super) fn put(self, twin: &mut [u8]) {
        if let Some(field) = twin.first_chunk_mut() {
            *field = self.len.to_le_bytes();
        }
    }

    pub(super) fn read<E: EngineRef, K: KindTag<Set = E::Set>>(
        engine: &EngineOf<E>,
        code: &Live<K>,
    ) -> Result<Self, execmem::Error> {
        let mut field = [0; 8];
        engine.read(code, 0, &mut field)?;
        Ok(Header { len: u64::from_le_bytes(field) })
    }
}
