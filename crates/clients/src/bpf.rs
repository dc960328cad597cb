//! BPF: programs, trampolines and dispatchers, by the protocol that BPF compilers use.
//!
//! | step | call | Linux |
//! |---|---|---|
//! | memory for a compiled program, and its writable twin | [`Bpf::alloc`] | `bpf_jit_binary_pack_alloc` |
//! | the compiler writes into the twin | [`Binary::image_mut`] | `rw_image` |
//! | the twin becomes what is executed | [`Binary::finalize`] | `bpf_jit_binary_pack_finalize` |
//! | compilation failed | drop the [`Binary`] | `bpf_jit_binary_pack_free`, not finalized |
//! | the program goes | [`Bpf::free`] | `bpf_jit_binary_pack_free` |
//!
//! A program has a header, read-only like the rest, that says how long it is. The image does not begin at its start: a
//! hole of random length, filled with trapping instructions, lies in front, so that it cannot be guessed where code is.
//! Everything is charged to an account with a limit; callers with the right to exceed it say so ([`Credit`]).
//!
//! **Predictors.** A processor's branch predictors may remember code that stood at an address before. A compiler of
//! programs of callers that are not trusted wants addresses where no program stood since predictors were last flushed;
//! for trusted ones it does not matter. So the client remembers where programs stood (*dirty* addresses), tries some
//! other places for a program that is not [trusted](Trust), and calls the flush hook only if all of them are dirty.
//! [`FlushPredictors`] does that for all code of an engine, without telling authors apart.

mod attach;
mod binary;
mod dirty;
mod dispatcher;
mod header;
mod predictors;
mod trampoline;

use alloc::vec::Vec;

use execmem::sync::Lock;
use execmem::{Draft, EngineRef, Extent, Kind, KindName, KnownKind as _, Live};

use crate::client::{Client, Held, Spin};
use crate::growth::fill_up;
use crate::patch::Breakpoints;
use crate::{BpfKinds, Credit, Error, Id, Usage};
use dirty::Dirty;

pub use attach::TrampolineSite;
pub use binary::Binary;
pub use dispatcher::{Dispatch, Dispatcher, MAX_TARGETS};
pub use header::{HEADER_BYTES, Header};
pub use predictors::FlushPredictors;
pub use trampoline::Trampoline;

/// Places that are tried for a program that is not trusted before predictors are flushed.
const TRIES: usize = 4;

/// Largest alignment of an image: that of the memory.
const MAX_ALIGN: u64 = 64;

/// What an account has to hold beyond an image: the header, and 16 bytes so that there is always some hole.
const EXTRA_BYTES: u64 = HEADER_BYTES + 16;

/// Whether the author of a program is trusted not to train predictors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    /// May stand where another program stood.
    Trusted,
    /// Stands where none stood since predictors were last flushed.
    Untrusted,
}

/// What a program wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProgramRequest {
    /// Bytes of the compiled program.
    pub len: u64,
    /// What the address of its first byte is a multiple of; a power of two of at most 64; others are
    /// taken for the nearest.
    pub align: u64,
    /// Its author.
    pub trust: Trust,
    /// Whether the limit applies.
    pub credit: Credit,
}

/// A program that can be executed, or code that belongs to one.
#[derive(Debug)]
pub struct Program<S: BpfKinds = Kind> {
    code: Live<S::Bpf>,
    image: Extent,
}

impl<S: BpfKinds> Held for Program<S> {
    type Kind = S::Bpf;

    fn extent(&self) -> Extent {
        self.code.extent()
    }

    fn into_code(self) -> Live<S::Bpf> {
        self.code
    }
}

/// What a client for BPF needs to know.
#[derive(Debug, Clone, Copy)]
pub struct Options<F> {
    /// Most bytes that callers without [`Credit::Unlimited`] may hold together.
    pub limit: u64,
    /// Start of the random numbers; not zero.
    pub seed: u64,
    /// Flushes the branch predictors of all processors (IBPB on x86).
    pub flush_predictors: F,
}

/// The programs of one engine.
#[derive(Debug)]
pub struct Bpf<E: EngineRef<Set: BpfKinds>, F> {
    client: Client<E, Program<E::Set>>,
    random: Lock<Spin<E>, u64>,
    dirty: Lock<Spin<E>, Dirty>,
    flush_predictors: F,
}

/// The name of the kind of programs.
fn kind_name<S: BpfKinds>() -> KindName {
    S::Bpf::KIND.into()
}

impl<E: EngineRef<Set: BpfKinds>, F: Fn()> Bpf<E, F> {
    /// Programs in the memory of an engine.
    pub fn new(engine: E, options: Options<F>) -> Self {
        Bpf {
            client: Client::new(engine, options.limit),
            random: Lock::new(options.seed | 1),
            dirty: Lock::new(Dirty::default()),
            flush_predictors: options.flush_predictors,
        }
    }

    /// Memory for a program. Its twin is filled with trapping instructions.
    ///
    /// # Errors
    ///
    /// [`Error::OverLimit`], [`Error::OutOfMemory`], [`Error::Engine`].
    pub fn alloc(&self, request: &ProgramRequest) -> Result<Binary<'_, E>, Error> {
        let out_of_memory = Error::OutOfMemory { kind: kind_name::<E::Set>(), len: request.len };
        let len = usize::try_from(request.len).map_err(|_| out_of_memory)?;
        let align = request.align.clamp(1, MAX_ALIGN).next_power_of_two();
        let extra = EXTRA_BYTES.max(HEADER_BYTES.next_multiple_of(align));
        let needed = request.len.checked_add(extra).ok_or(out_of_memory)?;
        let draft = self.place(needed, request)?;
        let granted = usize::try_from(draft.extent().len()).unwrap_or(usize::MAX);
        let mut twin = Vec::new();
        if self.prepare_free().and_then(|()| fill_up(&mut twin, granted)).is_err() {
            self.client.free(draft);
            return Err(out_of_memory);
        }
        self.client.engine().table().machine().trap().fill(draft.address(), &mut twin);
        Header { len: draft.extent().len() }.put(&mut twin);
        let start = self.hole(granted - len, align);
        Ok(Binary::new(&self.client, draft, twin, start..start + len))
    }

    /// Makes sure that everything which is allocated now can go without heap.
    fn prepare_free(&self) -> Result<(), Error> {
        let programs = self.client.usage().live;
        self.dirty.with(|dirty| dirty.reserve(programs))
    }

    /// A place that is clean if it has to be, flushing predictors if nothing else helps.
    fn place(&self, len: u64, request: &ProgramRequest) -> Result<Draft<<E::Set as BpfKinds>::Bpf>, Error> {
        let first = self.client.alloc::<<E::Set as BpfKinds>::Bpf>(len, request.credit)?;
        let is_dirty =
            |draft: &Draft<<E::Set as BpfKinds>::Bpf>| self.dirty.with(|dirty| dirty.overlaps(draft.extent()));
        if request.trust == Trust::Trusted || !is_dirty(&first) {
            return Ok(first);
        }
        let mut refused = [const { None }; TRIES];
        refused[0] = Some(first);
        let mut found = None;
        for place in &mut refused[1..] {
            // All of them are charged until they are freed below, so fewer are tried close to the limit.
            let Ok(draft) = self.client.alloc::<<E::Set as BpfKinds>::Bpf>(len, request.credit) else { break };
            if is_dirty(&draft) {
                *place = Some(draft);
            } else {
                found = Some(draft);
                break;
            }
        }
        let draft = found.or_else(|| {
            // A program that goes during the flush waits for the lock, and is dirty after it.
            self.dirty.with(|dirty| {
                (self.flush_predictors)();
                dirty.clear();
            });
            refused.iter_mut().rev().find_map(Option::take)
        });
        refused.into_iter().flatten().for_each(|draft| self.client.free(draft));
        draft.ok_or(Error::OutOfMemory { kind: kind_name::<E::Set>(), len })
    }

    /// Where the image starts, behind the header: a random multiple of `align` such that `free` bytes, which is at least
    /// the first such multiple, lie around it.
    fn hole(&self, free: usize, align: u64) -> usize {
        let align = usize::try_from(align).unwrap_or(1);
        let first = usize::try_from(HEADER_BYTES).unwrap_or(0).next_multiple_of(align);
        let places = free.saturating_sub(first) / align + 1;
        let random = self.random.with(|state| {
            *state ^= *state >> 12;
            *state ^= *state << 25;
            *state ^= *state >> 27;
            state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32
        });
        first + usize::try_from(random).unwrap_or(0) % places * align
    }

    /// Where a program is executed.
    ///
    /// # Errors
    ///
    /// [`Error::StaleId`], [`Error::ForeignId`].
    pub fn image(&self, program: Id<Program<E::Set>>) -> Result<Extent, Error> {
        self.client.with(program, |program| Ok(program.image))
    }

    /// What the header of a program says.
    ///
    /// # Errors
    ///
    /// [`Error::StaleId`], [`Error::ForeignId`], [`Error::Engine`].
    pub fn header(&self, program: Id<Program<E::Set>>) -> Result<Header, Error> {
        self.client.with(program, |program| Ok(Header::read::<E, _>(self.client.engine(), &program.code)?))
    }

    /// Frees a program. No processor may execute it any more.
    ///
    /// # Errors
    ///
    /// [`Error::StaleId`] if it is free already; [`Error::ForeignId`]. Takes no heap.
    pub fn free(&self, program: Id<Program<E::Set>>) -> Result<(), Error> {
        let program = self.client.take(program)?;
        // Dirty first: once it is free, another caller may get it.
        self.dirty.with(|dirty| dirty.add(program.code.extent()));
        self.client.free(program.code);
        Ok(())
    }

    /// The program that an address lies in.
    #[must_use]
    pub fn find(&self, address: u64) -> Option<Id<Program<E::Set>>> {
        self.client.find(address)
    }

    /// Whether a program stood at an address since predictors were last flushed, and is gone.
    #[must_use]
    pub fn is_dirty(&self, extent: Extent) -> bool {
        self.dirty.with(|dirty| dirty.overlaps(extent))
    }

    /// What programs, trampolines and dispatchers take of the engine's memory.
    #[must_use]
    pub fn usage(&self) -> Usage {
        self.client.usage()
    }

    /// A dispatcher with no targets yet.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownMachine`], [`Error::NotPatchable`], [`Error::OverLimit`], [`Error::Engine`].
    pub fn dispatcher<P: Breakpoints>(&self, breakpoints: P) -> Result<Dispatcher<P, E::Set>, Error> {
        Dispatcher::new(&self.client, breakpoints, || self.prepare_free())
    }

    /// Points a dispatcher at other targets.
    ///
    /// # Errors
    ///
    /// As [`Dispatcher::update`].
    pub fn update<P: Breakpoints>(
        &self,
        dispatcher: &mut Dispatcher<P, E::Set>,
        targets: &[u64],
        grace: impl FnOnce(),
    ) -> Result<(), Error> {
        dispatcher.update(&self.client, targets, grace)
    }

    /// Frees the code of a dispatcher. No thread may call it any more.
    ///
    /// # Errors
    ///
    /// [`Error::StaleId`] if it was closed before; [`Error::ForeignId`].
    pub fn close<P>(&self, dispatcher: &Dispatcher<P, E::Set>) -> Result<(), Error> {
        self.free(dispatcher.id())
    }

    /// Replaces the image of a trampoline: publishes the new code, lets `switch` redirect callers to its address, waits
    /// for `grace`, and frees the image before.
    ///
    /// # Errors
    ///
    /// What `build` and `switch` say, and the errors of [`alloc`](Self::alloc); the image before stays in use then.
    pub fn replace_trampoline(
        &self,
        trampoline: &mut Trampoline<E::Set>,
        len: u64,
        build: impl FnOnce(u64) -> Result<Vec<u8>, Error>,
        switch: impl FnOnce(u64) -> Result<(), Error>,
        grace: impl FnOnce(),
    ) -> Result<(), Error> {
        let build = |address| self.prepare_free().and_then(|()| build(address));
        let before = trampoline.replace(&self.client, len, build, switch)?;
        let Some(before) = before else { return Ok(()) };
        grace();
        self.free(before)
    }
}
