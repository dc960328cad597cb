//! The policy of Linux's packs of BPF programs: 2 MiB packs of 64-byte chunks, first fit from the first pack on, one
//! lock, trap fill. A pack is a memory file mapped twice, executable here and writable there.

mod bitmap;
mod view;

use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Context as _, Result};
use execmem::Kind;

use self::bitmap::Bitmap;
use self::view::Views;
use super::Peer;

const PACK_BYTES: usize = 2 << 20;
const CHUNK_BYTES: usize = 64;

/// The packs, oldest first.
#[derive(Debug)]
pub(crate) struct Packs(Mutex<Vec<Pack>>);

#[derive(Debug)]
struct Pack {
    views: Views,
    used: Bitmap,
}

/// Where a program is.
#[derive(Debug)]
pub(crate) struct Program {
    entry: usize,
    chunks: usize,
}

impl Packs {
    fn lock(&self) -> MutexGuard<'_, Vec<Pack>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The first pack with room, and the place in it; a new pack if there is none.
fn place(packs: &mut Vec<Pack>, chunks: usize) -> Result<(usize, usize)> {
    let found = packs.iter_mut().enumerate().find_map(|(index, pack)| Some((index, pack.used.take(chunks)?)));
    if let Some(found) = found {
        return Ok(found);
    }
    let bytes = (chunks * CHUNK_BYTES).next_multiple_of(PACK_BYTES);
    let mut pack = Pack { views: Views::new(bytes)?, used: Bitmap::new(bytes / CHUNK_BYTES) };
    let place = pack.used.take(chunks).context("a new pack has room")?;
    packs.push(pack);
    Ok((packs.len() - 1, place))
}

impl Peer for Packs {
    type Code = Program;

    fn new(_: Kind) -> Result<Self> {
        Ok(Packs(Mutex::new(Vec::new())))
    }

    fn install(&self, code: &[u8]) -> Result<Program> {
        let chunks = code.len().div_ceil(CHUNK_BYTES);
        let mut packs = self.lock();
        let (index, place) = place(&mut packs, chunks)?;
        let views = &packs[index].views;
        views.write(place * CHUNK_BYTES, code);
        Ok(Program { entry: views.entry() + place * CHUNK_BYTES, chunks })
    }

    fn entry(&self, program: &Program) -> usize {
        program.entry
    }

    fn remove(&self, program: Program) -> Result<()> {
        let mut packs = self.lock();
        let index = packs.iter().position(|pack| pack.views.contains(program.entry)).context("no pack has it")?;
        let pack = &mut packs[index];
        let offset = program.entry - pack.views.entry();
        pack.views.trap(offset, program.chunks * CHUNK_BYTES);
        pack.used.give_back(offset / CHUNK_BYTES, program.chunks);
        if pack.used.is_empty() {
            packs.remove(index);
        }
        Ok(())
    }

    fn finish(&self) -> Result<()> {
        anyhow::ensure!(self.lock().is_empty(), "a pack stays with nothing live");
        Ok(())
    }
}
