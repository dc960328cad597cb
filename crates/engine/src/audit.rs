//! The audit: everything that should hold, checked from scratch.

use alloc::vec::Vec;

use execmem_types::{Backend, BackendError, Extent, Kind};
use thiserror::Error;

use crate::pool::Pool;
use crate::region::Region;
use crate::shard::Shard;
use crate::sync::Locking;
use crate::{Engine, KindStats};

/// Bytes read at a time when memory is audited.
const CHUNK_BYTES: usize = 4096;

/// A broken invariant: a defect of the engine, or of the backend, never of a caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Violation {
    /// Ranges do not tile the blocks.
    #[error("{kind}: {source}")]
    Ranges {
        /// The pool.
        kind: Kind,
        /// What is wrong.
        source: execmem_range::Violation,
    },
    /// The spans of ranges and the blocks differ, or a mark on a block is wrong.
    #[error("I1: {kind}: ranges are managed where no block is, or the reverse, or one is wrongly marked empty")]
    BlocksAndSpans {
        /// The pool.
        kind: Kind,
    },
    /// The bytes of live allocations and of handles differ.
    #[error("I1: {kind}: {live:#x} bytes are live, {granted:#x} were granted and {quarantined:#x} quarantined")]
    Bytes {
        /// The pool.
        kind: Kind,
        /// Bytes live in the arenas.
        live: u64,
        /// Bytes that handles stand for.
        granted: u64,
        /// Bytes that are not reused.
        quarantined: u64,
    },
    /// A block lies outside its window.
    #[error("I3: {kind}: block {block} lies outside {window}")]
    OutsideWindow {
        /// The pool.
        kind: Kind,
        /// The block.
        block: Extent,
        /// The window.
        window: Extent,
    },
    /// The reserved addresses and the blocks differ.
    #[error("I1: {reserved} is reserved and holds no block, or the reverse")]
    Space {
        /// The reservation or block.
        reserved: Extent,
    },
    /// The arenas of addresses are inconsistent.
    #[error("address space: {source}")]
    Zones {
        /// What is wrong.
        source: execmem_range::Violation,
    },
    /// A free byte is not what unused memory holds.
    #[error("I5: {kind}: the free byte at {address:#x} is not the unused pattern")]
    NotUnused {
        /// The pool.
        kind: Kind,
        /// The byte.
        address: u64,
    },
    /// Free memory cannot be read.
    #[error("{kind}: {source}")]
    Unreadable {
        /// The pool.
        kind: Kind,
        /// What the backend said.
        source: BackendError,
    },
}

impl<B: Backend, L: Locking> Engine<B, L> {
    /// Checks the bookkeeping. Nobody else may use the engine meanwhile.
    ///
    /// # Errors
    ///
    /// The first [`Violation`] found.
    pub fn audit(&self) -> Result<(), Violation> {
        let mut blocks = Vec::new();
        for pool in &self.pools {
            audit_pool(pool, &mut blocks)?;
        }
        self.audit_space(blocks)
    }

    /// Reads all free memory and checks that it holds what unused memory should. Nobody else may use the engine
    /// meanwhile.
    ///
    /// # Errors
    ///
    /// [`Violation::NotUnused`], [`Violation::Unreadable`].
    pub fn audit_unused(&self) -> Result<(), Violation> {
        for pool in &self.pools {
            let mut unused = Vec::new();
            pool.visit(|region| unused.extend(region.unused()));
            unused.into_iter().try_for_each(|extent: Extent| self.audit_unused_extent(pool, extent))?;
        }
        Ok(())
    }

    fn audit_unused_extent(&self, pool: &Pool<L>, extent: Extent) -> Result<(), Violation> {
        let pattern = self.unused_pattern(pool);
        let mut bytes = [0; CHUNK_BYTES];
        let mut rest = Some(extent);
        while let Some(part) = rest {
            let len = part.len().min(CHUNK_BYTES as u64);
            let chunk = &mut bytes[..usize::try_from(len).unwrap_or(CHUNK_BYTES)];
            let unreadable = |source| Violation::Unreadable { kind: pool.kind, source };
            self.backend.read(part.start(), chunk).map_err(unreadable)?;
            let wrong = (part.start()..).zip(chunk.iter()).find(|&(address, byte)| pattern.at(address) != *byte);
            if let Some((address, _)) = wrong {
                return Err(Violation::NotUnused { kind: pool.kind, address });
            }
            rest = part.part(len, part.len() - len);
        }
        Ok(())
    }

    /// The reservations are those of the blocks.
    fn audit_space(&self, mut blocks: Vec<Extent>) -> Result<(), Violation> {
        blocks.sort_by_key(|extent| extent.start());
        self.space.with(|space| {
            space.audit().map_err(|source| Violation::Zones { source })?;
            let mut reserved: Vec<Extent> = space.reserved().collect();
            reserved.sort_by_key(|extent| extent.start());
            let mut pairs = reserved.iter().zip(&blocks);
            let unequal = pairs.find(|(reserved, block)| reserved != block).map(|(reserved, _)| *reserved);
            let extra = reserved.get(blocks.len()).or_else(|| blocks.get(reserved.len())).copied();
            unequal.or(extra).map_or(Ok(()), |reserved| Err(Violation::Space { reserved }))
        })
    }
}

/// Checks one pool and collects the addresses that its blocks have reserved.
fn audit_pool<L: Locking>(pool: &Pool<L>, reserved: &mut Vec<Extent>) -> Result<(), Violation> {
    let kind = pool.kind;
    let (mut live, mut outcome) = (0, Ok(()));
    pool.visit(|region| {
        if outcome.is_ok() {
            outcome = audit_region(kind, region, reserved).map(|live_here| live += live_here);
        }
    });
    outcome?;
    let granted_in = |shard: &mut Shard| shard.kinds.iter().map(|kind: &KindStats| kind.bytes_granted).sum::<u64>();
    let granted = pool.shards().map(|shard| shard.with(granted_in)).sum();
    let quarantined = pool.events.with(|events| {
        reserved.extend(&events.lost);
        events.quarantined_live_bytes
    });
    if live == granted + quarantined { Ok(()) } else { Err(Violation::Bytes { kind, live, granted, quarantined }) }
}

/// Checks one region. Returns its live bytes.
fn audit_region(kind: Kind, region: &Region, reserved: &mut Vec<Extent>) -> Result<u64, Violation> {
    let totals = region.arena().audit().map_err(|source| Violation::Ranges { kind, source })?;
    if !region.spans_are_blocks() || !region.are_marks_right() {
        return Err(Violation::BlocksAndSpans { kind });
    }
    let window = region.window.extent;
    for block in region.blocks() {
        if !window.covers(block.reserved) || !block.reserved.covers(block.extent) {
            return Err(Violation::OutsideWindow { kind, block: block.extent, window });
        }
    }
    if !region.window.is_donated {
        reserved.extend(region.blocks().iter().map(|block| block.reserved));
    }
    Ok(totals.live_len)
}
