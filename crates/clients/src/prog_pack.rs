//! The policy that Linux had for BPF before there was one allocator: packs of 2 MiB, chunks of 64 bytes, first fit over a
//! bitmap, pack after pack, under one lock. Here for comparison; [`bpf`](crate::bpf) is what to use.
//!
//! Source: `kernel/bpf/core.c`, `bpf_prog_pack_alloc` and `bpf_prog_pack_free`.

use alloc::vec::Vec;

use execmem::sync::{Lock, Locking};
use execmem::{EngineRef, Live};

use crate::account::{Account, Usage};
use crate::growth::{fill_up, try_reserve};
use crate::registry::{Id, Registry};
use crate::{BpfKinds, Credit, Error};

/// Bytes of a pack.
pub const PACK_BYTES: u64 = 2 << 20;
/// Bytes of a chunk.
pub const CHUNK_BYTES: u64 = 64;

const CHUNKS: usize = 32_768;

/// A program in a pack.
#[derive(Debug)]
pub struct Packed {
    /// Start of the pack.
    pack: u64,
    /// First chunk.
    first: usize,
    /// Chunks.
    count: usize,
}

/// A pack, executable from the start.
#[derive(Debug)]
struct Pack<S: BpfKinds> {
    memory: Live<S::Bpf>,
    /// A bit for each chunk.
    used: Vec<u64>,
    used_count: usize,
}

impl<S: BpfKinds> Pack<S> {
    fn is_used(&self, chunk: usize) -> bool {
        self.used[chunk / 64] >> (chunk % 64) & 1 != 0
    }

    /// The first run of free chunks that is long enough, from the first chunk on.
    fn first_fit(&self, count: usize) -> Option<usize> {
        let (mut start, mut run) = (0, 0);
        for chunk in 0..CHUNKS {
            if self.is_used(chunk) {
                (start, run) = (chunk + 1, 0);
                continue;
            }
            run += 1;
            if run == count {
                return Some(start);
            }
        }
        None
    }

    fn mark(&mut self, first: usize, count: usize, is_used: bool) {
        for chunk in first..first + count {
            let bit = 1 << (chunk % 64);
            if is_used {
                self.used[chunk / 64] |= bit;
            } else {
                self.used[chunk / 64] &= !bit;
            }
        }
        if is_used {
            self.used_count += count;
        } else {
            self.used_count -= count;
        }
    }
}

#[derive(Debug)]
struct State<S: BpfKinds> {
    packs: Vec<Pack<S>>,
    programs: Registry<Packed>,
    account: Account,
}

/// Programs in packs.
#[derive(Debug)]
pub struct ProgPacks<E: EngineRef<Set: BpfKinds>> {
    home: E,
    /// Held while packs are mapped: there is one lock for all.
    state: Lock<<E::Locks as Locking>::Sleep, State<E::Set>>,
}

impl<E: EngineRef<Set: BpfKinds>> ProgPacks<E> {
    /// No packs yet, and at most `limit` bytes in chunks.
    pub fn new(home: E, limit: u64) -> Self {
        let state = State { packs: Vec::new(), programs: Registry::new(), account: Account::new(limit) };
        ProgPacks { home, state: Lock::new(state) }
    }

    /// Takes chunks for a program of `len` bytes. They hold traps.
    ///
    /// # Errors
    ///
    /// [`Error::CodeTooLong`] for more than a pack, [`Error::OverLimit`], [`Error::Engine`].
    pub fn alloc(&self, len: u64) -> Result<Id<Packed>, Error> {
        let too_long = Error::CodeTooLong { len, room: PACK_BYTES };
        if len == 0 || len > PACK_BYTES {
            return Err(too_long);
        }
        let count = usize::try_from(len.div_ceil(CHUNK_BYTES)).map_err(|_| too_long)?;
        let bytes = len.next_multiple_of(CHUNK_BYTES);
        self.state.with(|state| {
            state.account.charge(bytes, Credit::Limited)?;
            self.place(state, count).inspect_err(|_| state.account.cancel(bytes))
        })
    }

    fn place(&self, state: &mut State<E::Set>, count: usize) -> Result<Id<Packed>, Error> {
        let mut found = None;
        for (index, pack) in state.packs.iter().enumerate() {
            if let Some(first) = pack.first_fit(count) {
                found = Some((index, first));
                break;
            }
        }
        state.programs.reserve()?;
        let (index, first) = match found {
            Some(place) => place,
            None => {
                try_reserve(&mut state.packs, 1)?;
                state.packs.push(self.new_pack()?);
                (state.packs.len() - 1, 0)
            }
        };
        let pack = &mut state.packs[index];
        let packed = Packed { pack: pack.memory.address(), first, count };
        let program = state.programs.insert(packed).map_err(|(_, error)| error)?;
        pack.mark(first, count, true);
        Ok(program)
    }

    fn new_pack(&self) -> Result<Pack<E::Set>, Error> {
        let mut used = Vec::new();
        try_reserve(&mut used, CHUNKS / 64)?;
        used.resize(CHUNKS / 64, 0);
        let draft = self.home.engine().alloc::<<E::Set as BpfKinds>::Bpf>(PACK_BYTES)?;
        match self.home.engine().publish(draft) {
            Ok(memory) => Ok(Pack { memory, used, used_count: 0 }),
            Err(failed) => {
                // A draft of this very engine is always accepted.
                let _ = self.home.engine().free(failed.handle);
                Err(failed.error.into())
            }
        }
    }

    /// Writes code of a program.
    ///
    /// # Errors
    ///
    /// [`Error::CodeTooLong`] beyond its chunks; [`Error::StaleId`], [`Error::ForeignId`], [`Error::Engine`].
    pub fn write(&self, program: Id<Packed>, offset: u64, code: &[u8]) -> Result<(), Error> {
        self.state.with(|state| {
            let Packed { pack, first, count } = *state.programs.get_mut(program)?;
            let (len, room) = (offset.saturating_add(code.len() as u64), count as u64 * CHUNK_BYTES);
            if len > room {
                return Err(Error::CodeTooLong { len, room });
            }
            let pack = state.packs.iter().find(|other| other.memory.address() == pack);
            let pack = pack.ok_or(Error::StaleId { index: program.index() })?;
            Ok(self.home.engine().patch_unexecuted(&pack.memory, first as u64 * CHUNK_BYTES + offset, code)?)
        })
    }

    /// Where a program stands.
    ///
    /// # Errors
    ///
    /// [`Error::StaleId`], [`Error::ForeignId`].
    pub fn address(&self, program: Id<Packed>) -> Result<u64, Error> {
        self.state.with(|state| {
            let packed = state.programs.get_mut(program)?;
            Ok(packed.pack + packed.first as u64 * CHUNK_BYTES)
        })
    }

    /// Traps the chunks of a program and frees them, and the pack if it is empty.
    ///
    /// # Errors
    ///
    /// [`Error::StaleId`], [`Error::ForeignId`]; [`Error::Engine`] if the chunks cannot be trapped, which takes as much heap as
    /// they are long: the program stays.
    pub fn free(&self, program: Id<Packed>) -> Result<(), Error> {
        self.state.with(|state| {
            let Packed { pack, first, count } = *state.programs.get_mut(program)?;
            let index = state.packs.iter().position(|other| other.memory.address() == pack);
            let index = index.ok_or(Error::StaleId { index: program.index() })?;
            let offset = first as u64 * CHUNK_BYTES;
            let mut traps = Vec::new();
            fill_up(&mut traps, count * 64)?;
            self.home.engine().table().machine().trap().fill(pack + offset, &mut traps);
            self.home.engine().patch_unexecuted(&state.packs[index].memory, offset, &traps)?;
            state.programs.remove(program)?;
            state.account.uncharge(count as u64 * CHUNK_BYTES);
            state.packs[index].mark(first, count, false);
            if state.packs[index].used_count == 0 {
                let empty = state.packs.remove(index);
                // Memory of this very engine is always accepted.
                let _ = self.home.engine().free(empty.memory);
            }
            Ok(())
        })
    }

    /// How many packs there are.
    #[must_use]
    pub fn packs(&self) -> usize {
        self.state.with(|state| state.packs.len())
    }

    /// What programs take of the packs.
    #[must_use]
    pub fn usage(&self) -> Usage {
        self.state.with(|state| state.account.usage())
    }
}
