//! The engine: the table, the pools, the space they share and the memory they command.

use alloc::vec::Vec;

#[cfg(feature = "std")]
use execmem_types::Kind;
use execmem_types::{Backend, Describe, KindName, KindSet, PerKind, Table};

use crate::Error;
use crate::base::handle::Allocation;
use crate::base::identity::Identity;
use crate::base::seat::{Seat, seats};
use crate::memory::Memory;
use crate::pool::{Pool, Worker};
use crate::space::{Space, SpaceWindow};
use crate::sync::Locking;

/// One allocator for every user of executable memory.
///
/// `M` is the memory: a [`Backend`], or one with [hooks](crate::Hooked). `S` is the set of kinds, Linux's by default. `L`
/// says which [locks](Locking) are used. The engine is `Sync` if they are: allocations of different rows never contend,
/// those of one row seldom.
///
/// The engine owns its memory: it was given by value, no method gives out more of it than [facts](Self::facts), and only
/// the holder of a [`Handle`](crate::Handle) can have bytes changed.
///
/// # Invariants (I3, I9)
///
/// A live range lies in a window of its kind, aligned as its row says, and in a far one only if no nearer one could
/// serve it. An operation that fails leaves everything as it was.
pub struct Engine<
    M,
    #[cfg(feature = "std")] S: KindSet = Kind,
    #[cfg(not(feature = "std"))] S: KindSet,
    #[cfg(feature = "std")] L: Locking = crate::sync::ThreadLanes,
    #[cfg(not(feature = "std"))] L: Locking,
> {
    pub(super) identity: Identity,
    pub(super) table: Table<S>,
    pub(super) seats: PerKind<S, Seat>,
    pub(super) memory: M,
    pub(super) space: Space<L::Spin>,
    /// One for each row of its own. On the heap: kernels have small stacks.
    pub(super) pools: Vec<Pool<L>>,
    pub(super) defers: bool,
}

#[cfg(feature = "std")]
impl<M: Memory<S>, S: KindSet> Engine<M, S> {
    /// An engine that serves the rows of `table` with `memory`. Maps nothing yet.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfMemory`].
    pub fn new(table: Table<S>, memory: M) -> Result<Self, Error> {
        Engine::with_locks(table, memory)
    }
}

impl<M: Memory<S>, S: KindSet, L: Locking> Engine<M, S, L> {
    /// An engine with locks of one's own: for systems without a standard library.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfMemory`].
    pub fn with_locks(table: Table<S>, memory: M) -> Result<Self, Error> {
        let pools = Pool::of_table(&table)?;
        let windows = || pools.iter().flat_map(space_windows);
        let space = Space::new(table.machine().page(), windows)?;
        let (identity, seats) = (Identity::new()?, seats(&table));
        Ok(Engine { identity, table, seats, memory, space, pools, defers: false })
    }

    /// The same engine, whose frees never map, unmap, change rights or wait for other processors. What is due waits for
    /// [`maintain`](Self::maintain): memory of code whose content processors may still have fetched is not handed out before,
    /// and empty blocks stay mapped.
    ///
    /// For kernels that free where a thread must not sleep. Such memory holds the unused pattern at once, except where
    /// rights would have to change for that: code that was [flipped](execmem_types::Fill::Flip) and sealed data stay as they
    /// are until then.
    #[must_use]
    pub fn deferring(mut self) -> Self {
        self.defers = true;
        self
    }

    /// The table.
    #[must_use]
    pub const fn table(&self) -> &Table<S> {
        &self.table
    }

    /// A pool at work.
    #[inline]
    pub(super) fn worker<'e>(&'e self, pool: &'e Pool<L>) -> Worker<'e, M, S, L> {
        Worker::new(pool, &self.memory, &self.space)
    }

    /// The pool of an allocation at work.
    #[inline]
    pub(super) fn worker_of(&self, allocation: &Allocation) -> Worker<'_, M, S, L> {
        self.worker(&self.pools[usize::from(allocation.pool)])
    }

    /// The pool that serves a kind at work.
    #[inline]
    pub(super) fn worker_for(&self, kind: S) -> Worker<'_, M, S, L> {
        self.worker(&self.pools[usize::from(self.seats[kind].pool)])
    }

    /// Refuses a handle of another engine, and a process that may not command the memory.
    #[inline]
    pub(super) fn check(&self, allocation: &Allocation) -> Result<(), Error> {
        if allocation.engine != self.identity.number() {
            return Err(Error::ForeignHandle { address: allocation.start });
        }
        self.check_caller(&self.pools[usize::from(allocation.pool)])
    }

    /// Refuses a process that may not command the memory. Before any lock: its holder may not exist here.
    #[inline]
    pub(super) fn check_caller(&self, pool: &Pool<L>) -> Result<(), Error> {
        self.memory.backend().check_caller().map_err(|source| Error::Backend { kind: pool.row.name, source })
    }

    /// The name of the kind of an allocation.
    pub(super) fn name_of(&self, allocation: &Allocation) -> KindName {
        let home = || self.pools[usize::from(allocation.pool)].row.name;
        S::from_number(allocation.kind).map_or_else(home, KindName::from)
    }
}

impl<M: Memory<S>, S: KindSet, L: Locking> Engine<M, S, L>
where
    M::Backend: Describe,
{
    /// What the memory tells about itself.
    pub fn facts(&self) -> <M::Backend as Describe>::Facts<'_> {
        self.memory.backend().facts()
    }
}

/// The windows of a pool, as the space knows them.
fn space_windows<L: Locking>(pool: &Pool<L>) -> impl Iterator<Item = SpaceWindow> + '_ {
    let alignment = pool.alignment_limit;
    pool.windows().iter().map(move |window| SpaceWindow { extent: window.extent, alignment })
}

impl<M, S: KindSet, L: Locking> core::fmt::Debug for Engine<M, S, L> {
    /// Names the machine; takes no lock, and says nothing of where the memory is.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Engine").field("machine", &self.table.machine().name).finish_non_exhaustive()
    }
}
