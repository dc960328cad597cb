//! Allocation.

use execmem_types::{KindSet, KindTag, KnownKind, PowerOfTwo};

use super::Engine;
use crate::Error;
use crate::base::handle::{Allocation, Draft, Handle, Stage};
use crate::base::request::{Owner, Request, tag_of};
use crate::base::seat::Seat;
use crate::memory::Memory;
use crate::pool::{Pool, Taken};
use crate::region::Want;
use crate::sync::Locking;

impl<M: Memory<S>, S: KindSet, L: Locking> Engine<M, S, L> {
    /// Allocates at least `len` bytes. They hold what unused memory of the kind holds.
    ///
    /// ```
    /// # use execmem_arch_x86::TABLE; use execmem_sim::Sim;
    /// use execmem::{Engine, kinds::Text};
    ///
    /// let engine = Engine::new(TABLE, Sim::new(TABLE.machine()))?;
    /// let mut code = engine.alloc::<Text>(3)?;
    /// engine.write(&mut code, 0, &[0x31, 0xc0, 0xc3])?;
    /// let code = engine.publish(code)?;
    /// assert_eq!(code.extent().len(), 64);
    /// engine.free(code)?;
    /// # Ok::<(), Box<dyn core::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::ZeroSize`], [`Error::TooLarge`], [`Error::Exhausted`], [`Error::Backend`] if a block was needed and
    /// could not be mapped, [`Error::Hook`], [`Error::OutOfMemory`].
    #[inline]
    pub fn alloc<K: KnownKind<Set = S>>(&self, len: u64) -> Result<Draft<K>, Error> {
        self.allocate(&Request::new(K::KIND, len)).map(Handle::of)
    }

    /// Allocates at least `len` bytes of a kind known at run time.
    ///
    /// # Errors
    ///
    /// As [`alloc`](Self::alloc).
    pub fn alloc_kind(&self, kind: S, len: u64) -> Result<Draft<S>, Error> {
        self.allocate(&Request::new(kind, len)).map(Handle::of)
    }

    /// Allocates for an owner, which [`find`](Self::find) names.
    ///
    /// # Errors
    ///
    /// As [`alloc`](Self::alloc).
    pub fn alloc_for(&self, owner: Owner, kind: S, len: u64) -> Result<Draft<S>, Error> {
        self.allocate(&Request::new(kind, len).owned_by(owner)).map(Handle::of)
    }

    /// Allocates what a request says.
    ///
    /// # Errors
    ///
    /// As [`alloc`](Self::alloc), [`Error::BadAlignment`]; [`Error::NeedsGrowth`] if it may not grow.
    pub fn request(&self, request: &Request<S>) -> Result<Draft<S>, Error> {
        self.allocate(request).map(Handle::of)
    }

    /// The entry point of an allocation: its first byte, or the first behind the [lead](execmem_types::Descriptor::lead)
    /// of its kind. Offsets count from the first byte in both cases.
    pub fn entry<T: Stage, K: KindTag<Set = S>>(&self, handle: &Handle<T, K>) -> u64 {
        handle.address() + u64::from(self.seats[handle.kind()].lead)
    }

    /// Allocates, for a handle of any type.
    fn allocate(&self, request: &Request<S>) -> Result<Allocation, Error> {
        let seat = self.seats[request.kind];
        let pool = &self.pools[usize::from(seat.pool)];
        self.check_caller(pool)?;
        let want = want(pool, seat, request)?;
        let worker = self.worker(pool);
        let taken = worker.place(&want, request.may_grow)?;
        let draft: Draft<S> = Handle::of(self.allocation(pool, request, &want, taken));
        // If the hook panics, the memory is that of a handle that is dropped.
        match worker.seam.tell_use(request.kind, draft.extent()) {
            Ok(()) => Ok(draft.into_allocation()),
            Err(error) => {
                let _ = draft.into_allocation();
                worker.give_back(&want, taken);
                Err(error)
            }
        }
    }

    /// What the handle of a place says.
    #[inline]
    fn allocation(&self, pool: &Pool<L>, request: &Request<S>, want: &Want, taken: Taken) -> Allocation {
        // The first window of an anchored row is near, by a rule of the table.
        let is_near = pool.row.descriptor.is_anchored && taken.location.window() == 0;
        #[expect(
            clippy::cast_possible_truncation,
            reason = "no window has more quanta; slack is less than a quantum and a lead"
        )]
        let mut allocation = Allocation {
            engine: self.identity.number(),
            start: taken.start,
            quanta: (want.len >> pool.row.quantum.log2()) as u32,
            slack: (want.len - want.requested) as u32,
            owner: request.owner,
            kind: request.kind.number(),
            pool: pool.number,
            sharer: want.sharer,
            quantum: pool.row.quantum,
            location: taken.location,
        };
        if !is_near && self.table.is_far(request.kind, allocation.extent()) {
            allocation.location = taken.location.far(true);
        }
        allocation
    }
}

/// What a request looks for in its pool.
#[inline]
fn want<S: KindSet, L: Locking>(pool: &Pool<L>, seat: Seat, request: &Request<S>) -> Result<Want, Error> {
    let mask = seat.quantum.bytes() - 1;
    let whole = request.len.wrapping_add(u64::from(seat.lead) + mask);
    // Zero, and lengths that wrap around, are looked at.
    if request.len.wrapping_sub(1) >= pool.limit || whole & !mask > pool.limit || request.align > pool.alignment_limit {
        return Err(refusal(pool, request));
    }
    Ok(Want {
        len: whole & !mask,
        align: request.align.max(seat.alignment),
        tag: tag_of(request.kind.number(), request.owner),
        sharer: seat.sharer,
        requested: request.len,
    })
}

/// Why a request makes no sense.
#[cold]
fn refusal<S: KindSet, L: Locking>(pool: &Pool<L>, request: &Request<S>) -> Error {
    let Request { kind, len, align, .. } = *request;
    let (kind, limit) = (kind.into(), pool.alignment_limit);
    let too_long = Error::TooLarge { kind, len, limit: pool.limit };
    match len {
        0 => Error::ZeroSize { kind },
        _ if align > limit => Error::BadAlignment { kind, align: align.bytes(), limit: PowerOfTwo::bytes(limit) },
        _ => too_long,
    }
}
