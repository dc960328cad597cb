//! The floors: `malloc`, a copy, `free`; and the same where freed memory holds traps. What they hold cannot be executed.

use std::ptr::NonNull;

use anyhow::{Context as _, Result};
use execmem::Kind;

use super::Peer;

/// What freed code is overwritten with.
const TRAP: u8 = 0xcc;

/// Nothing: the heap is the process's. Whether freed code is overwritten.
#[derive(Debug)]
pub(crate) struct Heap<const FILLS: bool>;

/// A piece of the heap.
#[derive(Debug)]
pub(crate) struct Piece(NonNull<[u8]>);

// SAFETY: the piece belongs to its holder, and `malloc` lets any thread free it.
unsafe impl Send for Piece {}

impl<const FILLS: bool> Peer for Heap<FILLS> {
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
        Ok(Piece(NonNull::slice_from_raw_parts(start, code.len())))
    }

    fn entry(&self, piece: &Piece) -> usize {
        piece.0.as_ptr().expose_provenance()
    }

    fn remove(&self, piece: Piece) -> Result<()> {
        if FILLS {
            // SAFETY: the piece is this long, and no other code has it. The compiler does not see where it is, or it would
            // leave out what may not be read.
            unsafe { core::hint::black_box(piece.0.as_ptr().cast::<u8>()).write_bytes(TRAP, piece.0.len()) };
        }
        // SAFETY: it came from `malloc` and is freed once, since the piece is taken by value.
        unsafe { libc::free(piece.0.as_ptr().cast()) };
        Ok(())
    }
}
