//! The floor: `malloc`, a copy, `free`. What it holds cannot be executed.

use std::ptr::NonNull;

use anyhow::{Context as _, Result};
use execmem::Kind;

use super::Peer;

/// Nothing: the heap is the process's.
#[derive(Debug)]
pub(crate) struct Heap;

/// A piece of the heap.
#[derive(Debug)]
pub(crate) struct Piece(NonNull<u8>);

// SAFETY: the piece belongs to whoever holds it, and `malloc` lets any thread free it.
unsafe impl Send for Piece {}

impl Peer for Heap {
    type Code = Piece;
    const EXECUTES: bool = false;

    fn new(_: Kind) -> Result<Self> {
        Ok(Heap)
    }

    fn install(&self, code: &[u8]) -> Result<Piece> {
        // SAFETY: `malloc` may be called with any size.
        let start = unsafe { libc::malloc(code.len()) };
        let start = NonNull::new(start.cast::<u8>()).context("malloc")?;
        // SAFETY: the piece is fresh and as long as the code.
        unsafe { start.copy_from_nonoverlapping(NonNull::from(code).cast(), code.len()) };
        Ok(Piece(start))
    }

    fn entry(&self, piece: &Piece) -> usize {
        piece.0.as_ptr().expose_provenance()
    }

    fn remove(&self, piece: Piece) -> Result<()> {
        // SAFETY: it came from `malloc` and is freed once, since the piece is taken by value.
        unsafe { libc::free(piece.0.as_ptr().cast()) };
        Ok(())
    }
}
