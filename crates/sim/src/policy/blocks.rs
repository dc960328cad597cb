//! Shared blocks of executable memory in chunks of 64 bytes, first fit: BPF packs, and the proposal of 2022.

use std::collections::BTreeMap;

use execmem_types::{Access, Backend as _, Extent, Protection, SyncScope};

use crate::refusal::Refusal;
use crate::sim::Sim;
use crate::vmalloc::{Huge, VirtualArea, Vmalloc};

const CHUNK_BYTES: u64 = 64;
/// Length of a block, whatever the large pages of the machine are: Linux has the number in `BPF_PROG_PACK_SIZE`.
const BLOCK_BYTES: u64 = 2 << 20;

/// The blocks of a row.
#[derive(Debug)]
pub(super) struct Blocks {
    /// How many are mapped large.
    large_blocks: u64,
    blocks: Vec<Block>,
}

#[derive(Debug)]
struct Block {
    extent: Extent,
    is_large: bool,
    /// Free stretches: start and length.
    free: BTreeMap<u64, u64>,
}

impl Blocks {
    pub(super) const fn new(large_blocks: u64) -> Self {
        Blocks { large_blocks, blocks: Vec::new() }
    }

    /// Takes chunks from the first block that has them in a row, or from a new one, and writes `content` there.
    pub(super) fn alloc(&mut self, sim: &Sim, areas: &mut Vmalloc, content: &[u8]) -> Result<Extent, Refusal> {
        let bytes = content.len() as u64;
        let len = bytes.max(1).next_multiple_of(CHUNK_BYTES);
        let found = self.blocks.iter_mut().find_map(|block| block.take(len));
        let extent = match found {
            Some(extent) => extent,
            None => {
                let block = self.grow(sim, areas, len)?;
                block.take(len).ok_or(Refusal::NoRoom { bytes })?
            }
        };
        sim.write(Access::Poke, extent.start(), content)?;
        sim.sync_code(extent, SyncScope::Fresh)?;
        Ok(extent)
    }

    fn grow(&mut self, sim: &Sim, areas: &mut Vmalloc, len: u64) -> Result<&mut Block, Refusal> {
        let large = self.blocks.iter().filter(|block| block.is_large).count() as u64;
        let is_large = large < self.large_blocks;
        let size = len.checked_next_multiple_of(BLOCK_BYTES).ok_or(Refusal::NoRoom { bytes: len })?;
        let area = VirtualArea {
            len: size,
            huge: if is_large { Huge::AllOrNothing } else { Huge::Never },
            protection: Protection::ReadExecute,
            unused: sim.machine().trap(),
            node: Some(0),
        };
        let extent = areas.alloc(sim, &area)?;
        let free = BTreeMap::from([(extent.start(), extent.len())]);
        self.blocks.push(Block { extent, is_large, free });
        self.blocks.last_mut().ok_or(Refusal::NoRoom { bytes: len })
    }

    /// Destroys the content of chunks and takes them back. A block that is free goes at once.
    pub(super) fn free(&mut self, sim: &Sim, areas: &mut Vmalloc, extent: Extent) -> Result<(), Refusal> {
        sim.fill(Access::Poke, extent, sim.machine().trap())?;
        sim.sync_code(extent, SyncScope::Retired)?;
        let Some(place) = self.blocks.iter().position(|block| block.extent.covers(extent)) else { return Ok(()) };
        let block = &mut self.blocks[place];
        give(&mut block.free, extent);
        if block.free.get(&block.extent.start()) == Some(&block.extent.len()) {
            let block = self.blocks.remove(place);
            areas.free(sim, block.extent, true)?;
        }
        Ok(())
    }
}

impl Block {
    fn take(&mut self, len: u64) -> Option<Extent> {
        let (&start, &free) = self.free.iter().find(|(_, free)| **free >= len)?;
        self.free.remove(&start);
        if free > len {
            self.free.insert(start + len, free - len);
        }
        Extent::new(start, len)
    }
}

/// Adds an extent to free stretches and merges it with its neighbours.
pub(super) fn give(free: &mut BTreeMap<u64, u64>, extent: Extent) {
    let (mut start, mut len) = (extent.start(), extent.len());
    if let Some((&before, &before_len)) = free.range(..start).next_back()
        && before + before_len == start
    {
        free.remove(&before);
        (start, len) = (before, before_len + len);
    }
    if let Some(after) = free.remove(&(start + len)) {
        len += after;
    }
    free.insert(start, len);
}
