//! Content that depends on its address: a writer that knows it, and code that is assembled for it.

use core::fmt;

use execmem_types::{CodeTag, KindSet, KindTag, KnownKind};

use super::Engine;
use crate::base::error::Error;
use crate::base::handle::Draft;
use crate::memory::Memory;
use crate::sync::Locking;

/// How often code is assembled before [`Engine::emit`] gives up.
const ROUNDS: usize = 8;

/// Copies bytes to an offset.
type Put<'d> = dyn FnMut(u64, &[u8]) -> Result<(), Error> + 'd;

/// Copies bytes into a draft. Offsets count from the [entry point](Engine::entry).
///
/// [`Engine::write_with`] makes one. No method returns a reference into the draft.
pub struct DraftWriter<'d> {
    put: &'d mut Put<'d>,
    entry: u64,
    room: u64,
    position: u64,
}

impl DraftWriter<'_> {
    /// The address at which the next [pushed](Self::push) byte will be executed or read.
    #[must_use]
    pub const fn here(&self) -> u64 {
        self.entry + self.position
    }

    /// Bytes that were pushed so far.
    #[must_use]
    pub const fn position(&self) -> u64 {
        self.position
    }

    /// Bytes of the draft from the entry point on.
    #[must_use]
    pub const fn room(&self) -> u64 {
        self.room
    }

    /// Copies bytes behind those that were pushed before.
    ///
    /// # Errors
    ///
    /// As [`Engine::write`], with offsets from the entry point; the position stays.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.put(self.position, bytes)?;
        self.position += bytes.len() as u64;
        Ok(())
    }

    /// Copies bytes to an offset, and leaves the position as it is: for references to labels that are known now.
    ///
    /// # Errors
    ///
    /// As [`Engine::write`], with offsets from the entry point.
    pub fn put(&mut self, offset: u64, bytes: &[u8]) -> Result<(), Error> {
        (self.put)(offset, bytes)
    }
}

impl fmt::Debug for DraftWriter<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (position, room) = (self.position, self.room);
        f.debug_struct("DraftWriter").field("position", &position).field("room", &room).finish_non_exhaustive()
    }
}

impl<M: Memory<S>, S: KindSet, L: Locking> Engine<M, S, L> {
    /// Calls `fill` with a writer over a draft and the address of its entry point, where its content will run.
    ///
    /// ```
    /// # use execmem_arch_x86::TABLE; use execmem_sim::Sim;
    /// use execmem::{Engine, kinds::Text};
    ///
    /// let engine = Engine::new(TABLE, Sim::new(TABLE.machine()))?;
    /// let mut code = engine.alloc::<Text>(16)?;
    /// engine.write_with(&mut code, |draft, address| {
    ///     draft.push(&[0x48, 0xb8])?; // movabs rax, its own address
    ///     draft.push(&address.to_le_bytes())?;
    ///     draft.push(&[0xc3]) // ret
    /// })?;
    /// # engine.free(code)?;
    /// # Ok::<(), Box<dyn core::error::Error>>(())
    /// ```
    pub fn write_with<K: KindTag<Set = S>, R>(
        &self,
        draft: &mut Draft<K>,
        fill: impl FnOnce(&mut DraftWriter<'_>, u64) -> R,
    ) -> R {
        let entry = self.entry(draft);
        let lead = entry - draft.address();
        let room = draft.extent().len() - lead;
        let mut put = |offset: u64, bytes: &[u8]| match self.write(draft, offset.saturating_add(lead), bytes) {
            // Counted from the entry point, as the caller does.
            Err(Error::OutOfBounds { len, .. }) => Err(Error::OutOfBounds { offset, len, granted: room }),
            outcome => outcome,
        };
        fill(&mut DraftWriter { put: &mut put, entry, room, position: 0 }, entry)
    }

    /// Allocates code and has it assembled for the address of its entry point.
    ///
    /// `guess` is how many bytes the code may have. If it has others, it is assembled once more, for the address of a draft of
    /// its own length: so a bad guess costs time and leaves no holes, as cutting the draft would. An assembler whose code may
    /// have other lengths at other addresses is called until the code fits.
    ///
    /// ```
    /// # use execmem_arch_x86::TABLE; use execmem_sim::Sim;
    /// use execmem::{Engine, Error, kinds::Text};
    ///
    /// let engine = Engine::new(TABLE, Sim::new(TABLE.machine()))?;
    /// let code = engine.emit::<Text, _, Error>(4096, |address| {
    ///     Ok([&[0x48, 0xb8], &address.to_le_bytes()[..], &[0xc3]].concat()) // movabs rax, its own address; ret
    /// })?;
    /// assert_eq!(code.extent().len(), 64);
    /// # engine.free(code)?;
    /// # Ok::<(), Box<dyn core::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// What `assemble` returns, and those of [`alloc`](Self::alloc) and [`write`](Self::write). [`Error::OutOfBounds`] if the
    /// code is longer each of eight times than it was the time before. Nothing is left allocated.
    pub fn emit<K, B, E>(&self, guess: u64, mut assemble: impl FnMut(u64) -> Result<B, E>) -> Result<Draft<K>, E>
    where
        K: CodeTag + KnownKind<Set = S>,
        B: AsRef<[u8]>,
        E: From<Error>,
    {
        let (mut room, mut granted) = (guess.max(1), 0);
        for round in 0..ROUNDS {
            let mut draft = self.alloc::<K>(room)?;
            granted = draft.extent().len();
            let code = assemble(self.entry(&draft));
            let written = code.and_then(|code| {
                let code = code.as_ref();
                Ok((code.len() as u64, self.fit(&mut draft, code, round > 0)?))
            });
            match written {
                Ok((_, true)) => return Ok(draft),
                refused => {
                    // The draft is of this engine.
                    let _ = self.free(draft);
                    room = refused?.0.max(1);
                }
            }
        }
        Err(Error::OutOfBounds { offset: 0, len: room, granted }.into())
    }

    /// Writes code to the entry point of a draft. False if it is too long; or too short, unless the rest may be cut off.
    fn fit<K: KindTag<Set = S>>(&self, draft: &mut Draft<K>, code: &[u8], may_cut: bool) -> Result<bool, Error> {
        let (lead, granted) = (self.entry(draft) - draft.address(), draft.extent().len());
        let needed = (lead + code.len() as u64).max(1);
        let rounded = self.seats[draft.kind()].quantum.round_up(needed).unwrap_or(u64::MAX);
        if rounded > granted || rounded < granted && !may_cut {
            return Ok(false);
        }
        self.write(draft, lead, code)?;
        if rounded < granted {
            // Without heap for the cut, the tail stays.
            let _ = self.truncate(draft, needed);
        }
        Ok(true)
    }
}
