//! The engine: the table, the pools, the space they share and the memory they command.

use core::sync::atomic::{AtomicU32, Ordering};

use execmem_types::{Backend, Extent, Kind, KnownKind, Row, Seal, Table, kinds::Any};

use crate::handle::{Grant, Staged as _};
use crate::pool::Pool;
use crate::region::Want;
use crate::space::Space;
use crate::sync::{Lock, RawMutex};
use crate::{Draft, Error};

/// Tells engines apart. Not an atomic of the protocols, so not one of the facade.
static NEXT_ENGINE: AtomicU32 = AtomicU32::new(1);

/// One allocator for every user of executable memory.
///
/// `B` is the memory; `R` the kind of lock. The engine is `Sync` if they are: allocations of different kinds never
/// contend.
///
/// # Invariants (I3, I9)
///
/// A live range lies in a window of its kind, aligned as its row says, and in a far one only if no nearer one could
/// serve it. An operation that fails leaves everything as it was.
pub struct Engine<B, #[cfg(feature = "std")] R = crate::sync::StdMutex, #[cfg(not(feature = "std"))] R> {
    id: u32,
    table: Table,
    pub(crate) backend: B,
    pub(crate) space: Lock<R, Space>,
    pools: [Option<Pool<R>>; Kind::COUNT],
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

impl<B: Backend, R: RawMutex> Engine<B, R> {
    /// An engine whose locks are of kind `R`: for systems without a standard library, which have their own.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfMemory`].
    pub fn with_locks(table: Table, backend: B) -> Result<Self, Error> {
        let pools = Kind::ALL.map(|kind| matches!(table.row(kind), Row::Own(_)).then(|| Pool::new(&table, kind)));
        Ok(Engine {
            id: NEXT_ENGINE.fetch_add(1, Ordering::Relaxed),
            space: Lock::new(Space::new(&table)?),
            table,
            backend,
            pools,
        })
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

    /// The pools, in the order of their kinds.
    pub(crate) fn pools(&self) -> impl Iterator<Item = &Pool<R>> {
        self.pools.iter().flatten()
    }

    /// The pool that serves a kind.
    pub(crate) fn pool(&self, kind: Kind) -> &Pool<R> {
        let Some(pool) = &self.pools[self.table.home(kind).index()] else {
            panic!("I8: {kind} has no pool");
        };
        pool
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
        self.grant(K::KIND, len).map(Draft::from_grant)
    }

    /// Allocates at least `len` bytes of a kind known at run time.
    ///
    /// # Errors
    ///
    /// As [`alloc`](Self::alloc).
    pub fn alloc_kind(&self, kind: Kind, len: u64) -> Result<Draft<Any>, Error> {
        self.grant(kind, len).map(Draft::from_grant)
    }

    fn grant(&self, kind: Kind, requested: u64) -> Result<Grant, Error> {
        let pool = self.pool(kind);
        let len = self.rounded(kind, requested)?;
        let want = Want { kind, len, align: self.table.alignment(kind), requested };
        let (extent, window) = self.place(pool, &want)?;
        // The first window of an anchored row is near, by a rule of the table.
        let is_far = !(window == 0 && pool.descriptor.is_anchored) && self.table.is_far(kind, extent);
        Ok(Grant { engine: self.id, kind, extent, requested, is_far })
    }

    /// A length rounded up to the quantum of its kind.
    pub(crate) fn rounded(&self, kind: Kind, len: u64) -> Result<u64, Error> {
        if len == 0 {
            return Err(Error::ZeroSize { kind });
        }
        let limit = self.pool(kind).windows().map(Extent::len).max().unwrap_or(0);
        let rounded = self.table.quantum(kind).round_up(len).filter(|rounded| *rounded <= limit);
        rounded.ok_or(Error::TooLarge { kind, len, limit })
    }

    /// Finds a place: window by window, in existing blocks first, then in a new one.
    fn place(&self, pool: &Pool<R>, want: &Want) -> Result<(Extent, usize), Error> {
        if pool.descriptor.seal == Seal::Block {
            return pool.change.with(|()| self.place_open(pool, want));
        }
        for (index, window) in pool.windows().enumerate() {
            let find = || pool.search.with(|search| search.take(index, want));
            if let Some(extent) = find()? {
                return Ok((extent, index));
            }
            let grown = pool.change.with(|()| match find()? {
                // Somebody else made room while this caller waited.
                Some(extent) => Ok(Some(extent)),
                None => self.grow(pool, index, window, want),
            })?;
            if let Some(extent) = grown {
                return Ok((extent, index));
            }
        }
        Err(exhausted(pool, want))
    }

    /// The same where blocks are sealed as a whole: opens the blocks of the place. Under the change lock.
    fn place_open(&self, pool: &Pool<R>, want: &Want) -> Result<(Extent, usize), Error> {
        for (index, window) in pool.windows().enumerate() {
            let found = match pool.search.with(|search| search.take(index, want))? {
                Some(extent) => Some(extent),
                None => self.grow(pool, index, window, want)?,
            };
            let Some(extent) = found else { continue };
            if let Err(error) = self.open_blocks(pool, extent) {
                self.give_back(pool, want, extent);
                return Err(error);
            }
            return Ok((extent, index));
        }
        Err(exhausted(pool, want))
    }

    /// Refuses a handle of another engine.
    pub(crate) fn check_owner(&self, grant: &Grant) -> Result<(), Error> {
        if grant.engine == self.id { Ok(()) } else { Err(Error::ForeignHandle { address: grant.extent.start() }) }
    }
}

fn exhausted<R: RawMutex>(pool: &Pool<R>, want: &Want) -> Error {
    let largest = pool.search.with(|search| search.regions().map(|region| region.arena().largest_hole()).max());
    let windows = pool.windows().count();
    Error::Exhausted { kind: want.kind, len: want.len, windows, largest: largest.unwrap_or(0) }
}

impl<B: core::fmt::Debug, R> core::fmt::Debug for Engine<B, R> {
    /// Names the machine and the memory; takes no lock.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let machine = self.table.machine().name;
        f.debug_struct("Engine").field("machine", &machine).field("backend", &self.backend).finish_non_exhaustive()
    }
}
