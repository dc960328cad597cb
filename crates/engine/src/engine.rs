//! The engine: the table, the pools, the space they share and the memory they command.

use core::sync::atomic::{AtomicU32, Ordering};

use alloc::vec::Vec;

use execmem_types::{Backend, Extent, Kind, KnownKind, PowerOfTwo, Row, Seal, Table, kinds::Any};

use crate::handle::{Grant, Staged as _};
use crate::owner::Owner;
use crate::pool::Pool;
use crate::region::Want;
use crate::shard::{Placed, Site};
use crate::space::{Space, ZoneView};
use crate::sync::{Lock, Locking};
use crate::{Draft, Error, Handle, Request};

/// Tells engines apart. Not an atomic of the protocols, so not one of the facade.
static NEXT_ENGINE: AtomicU32 = AtomicU32::new(1);

/// One allocator for every user of executable memory.
///
/// `B` is the memory; `L` says which [locks](Locking) are used. The engine is `Sync` if they are: allocations of
/// different kinds never contend, those of one kind seldom.
///
/// # Invariants (I3, I9)
///
/// A live range lies in a window of its kind, aligned as its row says, and in a far one only if no nearer one could
/// serve it. An operation that fails leaves everything as it was.
pub struct Engine<
    B,
    #[cfg(feature = "std")] L: Locking = crate::sync::ThreadLanes,
    #[cfg(not(feature = "std"))] L: Locking,
> {
    id: u32,
    table: Table,
    pub(crate) backend: B,
    pub(crate) space: Lock<L, Space>,
    pub(crate) zones: Vec<ZoneView>,
    /// One for each row of its own. On the heap: kernels have small stacks.
    pub(crate) pools: Vec<Pool<L>>,
    /// The number of the pool that serves a kind.
    pool_of: [u8; Kind::COUNT],
}

#[cfg(feature = "std")]
impl<B: Backend> Engine<B> {
    /// An engine that serves the rows of `table` with the memory of `backend`. Maps nothing yet.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfMemory`].
    pub fn new(table: Table, backend: B) -> Result<Self, Error> {
        Engine::with_locks(table, backend)
    }
}

impl<B: Backend, L: Locking> Engine<B, L> {
    /// An engine with locks of one's own: for systems without a standard library.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfMemory`].
    pub fn with_locks(table: Table, backend: B) -> Result<Self, Error> {
        let own = || Kind::ALL.into_iter().filter(|kind| matches!(table.row(*kind), Row::Own(_)));
        let mut pools = Vec::new();
        pools.try_reserve_exact(own().count()).map_err(|_| Error::OutOfMemory)?;
        for (kind, number) in own().zip(0..) {
            pools.push(Pool::new(&table, kind, number)?);
        }
        let pool_of = Kind::ALL.map(|kind| number_of_pool(&pools, table.home(kind)));
        let space = Space::new(&table)?;
        let zones = space.views()?;
        let id = NEXT_ENGINE.fetch_add(1, Ordering::Relaxed);
        Ok(Engine { id, space: Lock::new(space), zones, table, backend, pools, pool_of })
    }

    /// The table.
    #[must_use]
    pub const fn table(&self) -> &Table {
        &self.table
    }

    /// The memory.
    #[must_use]
    pub const fn backend(&self) -> &B {
        &self.backend
    }

    /// The pool that serves a kind.
    #[inline]
    pub(crate) fn pool(&self, kind: Kind) -> &Pool<L> {
        &self.pools[usize::from(self.pool_of[kind.index()])]
    }

    /// Allocates at least `len` bytes. They hold what unused memory of the kind holds.
    ///
    /// ```
    /// # use execmem_arch_x86::TABLE; use execmem_sim::Sim;
    /// use execmem::{Engine, Handle as _, kinds::Text};
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
    /// could not be mapped, [`Error::OutOfMemory`].
    pub fn alloc<K: KnownKind>(&self, len: u64) -> Result<Draft<K>, Error> {
        self.grant(&Request::new(K::KIND, len)).map(Draft::from_grant)
    }

    /// The entry point of an allocation: its first byte, or the first behind the [lead](execmem_types::Descriptor::lead)
    /// of its kind. Offsets count from the first byte in both cases.
    pub fn entry(&self, handle: &impl Handle) -> u64 {
        handle.address() + self.table.lead(handle.kind())
    }

    /// Allocates at least `len` bytes of a kind known at run time.
    ///
    /// # Errors
    ///
    /// As [`alloc`](Self::alloc).
    pub fn alloc_kind(&self, kind: Kind, len: u64) -> Result<Draft<Any>, Error> {
        self.request(&Request::new(kind, len))
    }

    /// Allocates for somebody, whom [`find`](Self::find) names.
    ///
    /// # Errors
    ///
    /// As [`alloc`](Self::alloc).
    pub fn alloc_for(&self, owner: Owner, kind: Kind, len: u64) -> Result<Draft<Any>, Error> {
        self.request(&Request::new(kind, len).owned_by(owner))
    }

    /// Allocates what a request says.
    ///
    /// # Errors
    ///
    /// As [`alloc`](Self::alloc), and [`Error::BadAlignment`].
    pub fn request(&self, request: &Request) -> Result<Draft<Any>, Error> {
        self.grant(request).map(Draft::from_grant)
    }

    fn grant(&self, request: &Request) -> Result<Grant, Error> {
        let Request { kind, len: requested, owner, .. } = *request;
        let pool = self.pool(kind);
        let len = self.rounded(pool, kind, requested)?;
        let want = Want { kind, owner, len, align: self.alignment(pool, request)?, requested };
        let (extent, site) = self.place(pool, &want)?;
        // The first window of an anchored row is near, by a rule of the table.
        let is_near = pool.descriptor.is_anchored && site.is_first_window();
        let is_far = !is_near && self.table.is_far(kind, extent);
        Ok(Grant { engine: self.id, kind, extent, requested, owner, site, is_far })
    }

    /// A length rounded up to the quantum of its kind.
    fn rounded(&self, pool: &Pool<L>, kind: Kind, len: u64) -> Result<u64, Error> {
        if len == 0 {
            return Err(Error::ZeroSize { kind });
        }
        let whole = len.saturating_add(self.table.lead(kind));
        let rounded = self.table.quantum(kind).round_up(whole).filter(|rounded| *rounded <= pool.limit);
        rounded.ok_or(Error::TooLarge { kind, len, limit: pool.limit })
    }

    /// What the address must be a multiple of.
    fn alignment(&self, pool: &Pool<L>, request: &Request) -> Result<PowerOfTwo, Error> {
        let Request { kind, align, .. } = *request;
        if align > pool.alignment_limit {
            return Err(Error::BadAlignment { kind, align: align.bytes(), limit: pool.alignment_limit.bytes() });
        }
        Ok(align.max(self.table.alignment(kind)))
    }

    /// Finds a place: in donated memory, then window by window, in existing blocks first, then in a new one.
    fn place(&self, pool: &Pool<L>, want: &Want) -> Result<(Extent, Site), Error> {
        if pool.descriptor.seal == Seal::Block {
            return pool.change.with(|()| self.place_open(pool, want));
        }
        if let Some(extent) = pool.take_donated(want)? {
            return Ok((extent, Site::DONATED));
        }
        for index in 0..pool.windows.len() {
            if let Some(placed) = pool.take(index, want)? {
                return Ok(placed);
            }
            if let Some(placed) = pool.change.with(|()| self.place_or_grow(pool, index, want))? {
                return Ok(placed);
            }
        }
        Err(exhausted(pool, want))
    }

    /// Looks again, because somebody else may have made room meanwhile, and then makes room. Under the change lock.
    fn place_or_grow(&self, pool: &Pool<L>, index: usize, want: &Want) -> Result<Placed, Error> {
        match pool.take(index, want)? {
            Some(placed) => Ok(Some(placed)),
            None => self.grow(pool, index, want),
        }
    }

    /// The same where blocks are sealed as a whole: opens the blocks of the place. Under the change lock.
    fn place_open(&self, pool: &Pool<L>, want: &Want) -> Result<(Extent, Site), Error> {
        for index in 0..pool.windows.len() {
            let Some((extent, site)) = self.place_or_grow(pool, index, want)? else { continue };
            if let Err(error) = self.open_blocks(pool, site, extent) {
                self.give_back(pool, want, site, extent);
                return Err(error);
            }
            return Ok((extent, site));
        }
        Err(exhausted(pool, want))
    }

    /// Refuses a handle of another engine.
    pub(crate) fn check_owner(&self, grant: &Grant) -> Result<(), Error> {
        if grant.engine == self.id { Ok(()) } else { Err(Error::ForeignHandle { address: grant.extent.start() }) }
    }
}

/// The number of the pool of a row.
fn number_of_pool<L: Locking>(pools: &[Pool<L>], home: Kind) -> u8 {
    let Some(pool) = pools.iter().find(|pool| pool.kind == home) else { panic!("I8: {home} has no pool") };
    pool.number
}

fn exhausted<L: Locking>(pool: &Pool<L>, want: &Want) -> Error {
    let (windows, largest) = (pool.windows.len(), pool.largest_hole());
    Error::Exhausted { kind: want.kind, len: want.len, windows, largest }
}

impl<B: core::fmt::Debug, L: Locking> core::fmt::Debug for Engine<B, L> {
    /// Names the machine and the memory; takes no lock.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let machine = self.table.machine().name;
        f.debug_struct("Engine").field("machine", &machine).field("backend", &self.backend).finish_non_exhaustive()
    }
}
