//! The audit: everything that should hold, checked from scratch. Takes no heap.

use execmem_types::{Backend, BackendError, Extent, KindName, KindSet};
use thiserror::Error;

use super::Engine;
use crate::base::handle::Location;
use crate::memory::Memory;
use crate::pool::{Pool, Worker};
use crate::region::{Region, Window};
use crate::sync::Locking;

/// Bytes read at a time when memory is audited.
const CHUNK_BYTES: usize = 512;

/// A broken invariant: a defect of the engine, or of the backend, never of a caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Violation {
    /// Ranges do not tile the blocks.
    #[error("{kind}: {source}")]
    Ranges {
        /// The pool.
        kind: KindName,
        /// What is wrong.
        source: execmem_range::Violation,
    },
    /// The spans of ranges and the blocks differ, or a mark on a block is wrong.
    #[error("I1: {kind}: ranges are managed where no block is, or the reverse, or one is wrongly marked empty")]
    BlocksAndSpans {
        /// The pool.
        kind: KindName,
    },
    /// The bytes of live allocations and of handles differ.
    #[error("I1: {kind}: {live:#x} bytes are live, {granted:#x} were granted")]
    Bytes {
        /// The pool.
        kind: KindName,
        /// Bytes live in the arenas.
        live: u64,
        /// Bytes that handles stand for.
        granted: u64,
    },
    /// A block lies outside its window.
    #[error("I3: {kind}: block {block} lies outside {window}")]
    OutsideWindow {
        /// The pool.
        kind: KindName,
        /// The block.
        block: Extent,
        /// The window.
        window: Extent,
    },
    /// A block holds addresses that are not reserved.
    #[error("I1: {reserved} holds a block and is not reserved")]
    NotReserved {
        /// The block.
        reserved: Extent,
    },
    /// More or fewer addresses are reserved than blocks hold.
    #[error("I1: {reserved:#x} bytes of addresses are reserved, blocks hold {held:#x}")]
    Space {
        /// Bytes reserved.
        reserved: u64,
        /// Bytes that blocks hold, those that are lost included.
        held: u64,
    },
    /// What is noted of the free addresses differs from what is reserved.
    #[error("I1: the free addresses noted differ from those reserved")]
    Zones,
    /// A free byte is not what unused memory holds.
    #[error("I5: {kind}: the free byte at {address:#x} is not the unused pattern")]
    NotUnused {
        /// The pool.
        kind: KindName,
        /// The byte.
        address: u64,
    },
    /// This process may not command the memory. Nothing was looked at.
    #[error("nothing can be checked here: {source}")]
    Caller {
        /// What the backend said.
        source: BackendError,
    },
    /// Free memory cannot be read.
    #[error("{kind}: {source}")]
    Unreadable {
        /// The pool.
        kind: KindName,
        /// What the backend said.
        source: BackendError,
    },
}

impl<M: Memory<S>, S: KindSet, L: Locking> Engine<M, S, L> {
    /// Checks the bookkeeping. No other thread may use the engine meanwhile.
    ///
    /// # Errors
    ///
    /// The first [`Violation`] found.
    pub fn audit(&self) -> Result<(), Violation> {
        self.memory.backend().check_caller().map_err(|source| Violation::Caller { source })?;
        let mut held = 0;
        for pool in &self.pools {
            audit_pool(pool)?;
            held += pool.row.events.lost_bytes.get();
            for location in pool.locations() {
                held += self.audit_addresses(&self.worker(pool), location)?;
            }
        }
        if !self.space.audit() {
            return Err(Violation::Zones);
        }
        let reserved = self.space.reserved_bytes();
        if reserved == held { Ok(()) } else { Err(Violation::Space { reserved, held }) }
    }

    /// Checks that the blocks of a window of a shard have their addresses, and counts those.
    fn audit_addresses(&self, worker: &Worker<'_, M, S, L>, location: Location) -> Result<u64, Violation> {
        let window = worker.pool.window(location.window());
        let mut held = 0;
        for block in worker.blocks_in(location, window.extent).filter(|_| !window.is_donated) {
            if !self.space.is_reserved(block.reserved) {
                return Err(Violation::NotReserved { reserved: block.reserved });
            }
            if block.owns_reservation() {
                held += block.reserved.len();
            }
        }
        Ok(held)
    }

    /// Reads all free memory and checks that it holds what unused memory should. No other thread may use the engine
    /// meanwhile.
    ///
    /// # Errors
    ///
    /// [`Violation::NotUnused`], [`Violation::Unreadable`], [`Violation::Caller`].
    pub fn audit_unused(&self) -> Result<(), Violation> {
        self.memory.backend().check_caller().map_err(|source| Violation::Caller { source })?;
        for pool in &self.pools {
            for location in pool.locations() {
                let mut from = 0;
                while let Some(extent) = pool.next_unused(location, from) {
                    self.audit_unused_extent(pool, extent)?;
                    let Some(next) = extent.last().checked_add(1) else { break };
                    from = next;
                }
            }
        }
        Ok(())
    }

    fn audit_unused_extent(&self, pool: &Pool<L>, extent: Extent) -> Result<(), Violation> {
        let (pattern, kind) = (pool.row.unused, pool.row.name);
        let mut bytes = [0; CHUNK_BYTES];
        let mut rest = Some(extent);
        while let Some(part) = rest {
            let len = part.len().min(CHUNK_BYTES as u64);
            let chunk = &mut bytes[..usize::try_from(len).unwrap_or(CHUNK_BYTES)];
            let unreadable = |source| Violation::Unreadable { kind, source };
            self.memory.backend().read(part.start(), chunk).map_err(unreadable)?;
            let wrong = (part.start()..).zip(chunk.iter()).find(|&(address, byte)| pattern.at(address) != *byte);
            if let Some((address, _)) = wrong {
                return Err(Violation::NotUnused { kind, address });
            }
            rest = part.part(len, part.len() - len);
        }
        Ok(())
    }
}

/// Checks the ranges of one pool.
fn audit_pool<L: Locking>(pool: &Pool<L>) -> Result<(), Violation> {
    let kind = pool.row.name;
    let (mut live, mut outcome) = (0, Ok(()));
    pool.visit(|region, window| {
        if outcome.is_ok() {
            live += region.arena().live_len();
            outcome = audit_region(kind, region, window);
        }
    });
    outcome?;
    let granted =
        pool.shards().map(|shard| shard.with(|shard| shard.kinds.iter().map(|kind| kind.bytes_granted).sum::<u64>()));
    let granted = granted.sum();
    if live == granted { Ok(()) } else { Err(Violation::Bytes { kind, live, granted }) }
}

fn audit_region(kind: KindName, region: &Region, window: &Window) -> Result<(), Violation> {
    region.audit(window).map_err(|source| Violation::Ranges { kind, source })?;
    if !region.spans_are_blocks(window) || !region.are_marks_right(window) {
        return Err(Violation::BlocksAndSpans { kind });
    }
    let outside = region.blocks().iter().find(|block| !window.extent.covers(block.reserved));
    outside.map_or(Ok(()), |block| Err(Violation::OutsideWindow { kind, block: block.reserved, window: window.extent }))
}
