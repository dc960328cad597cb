//! What every client is made of: an engine, a table of what it holds, and an account.
//!
//! # Invariants (I9)
//!
//! A step that fails gives back what the steps before it took: memory, charge, and place in the table.

use alloc::vec::Vec;

use execmem::sync::{Lock, Locking};
use execmem::{Draft, EngineOf, EngineRef, Extent, Handle, KindTag, KnownKind, Live, Stage};
use hashbrown::HashMap;

use crate::Error;
use crate::account::{Account, Credit, Usage};
use crate::growth::no_heap;
use crate::registry::{Id, Registry};

/// Something that a client holds.
pub(crate) trait Held {
    /// The kind of its memory.
    type Kind: KindTag;

    /// Its memory.
    fn extent(&self) -> Extent;

    /// Gives it up for its memory.
    fn into_code(self) -> Live<Self::Kind>;
}

/// The common part of a client that holds things of type `T`.
#[derive(Debug)]
pub(crate) struct Client<E: EngineRef, T> {
    home: E,
    state: Lock<Spin<E>, State<T>>,
}

/// The lock that is held shortly, as the engine's user chose it.
pub(crate) type Spin<E> = <<E as EngineRef>::Locks as Locking>::Spin;

#[derive(Debug)]
struct State<T> {
    registry: Registry<T>,
    by_start: HashMap<u64, Id<T>>,
    account: Account,
}

impl<T> State<T> {
    /// Makes room for one more thing.
    fn reserve(&mut self) -> Result<(), Error> {
        self.registry.reserve()?;
        self.by_start.try_reserve(1).map_err(no_heap)
    }
}

impl<E: EngineRef, T: Held<Kind: KindTag<Set = E::Set>>> Client<E, T> {
    /// A client that holds at most `limit` bytes.
    pub(crate) fn new(home: E, limit: u64) -> Self {
        let state = State { registry: Registry::new(), by_start: HashMap::new(), account: Account::new(limit) };
        Client { home, state: Lock::new(state) }
    }

    /// The engine.
    pub(crate) fn engine(&self) -> &EngineOf<E> {
        self.home.engine()
    }

    /// Memory that is charged to this client.
    pub(crate) fn alloc<K: KnownKind<Set = E::Set>>(&self, len: u64, credit: Credit) -> Result<Draft<K>, Error> {
        // Rounded as the engine will; what it refuses, it refuses itself.
        let bytes = self.engine().table().quantum(K::KIND).round_up(len).unwrap_or(len);
        self.state.with(|state| state.account.charge(bytes, credit))?;
        self.engine().alloc::<K>(len).map_err(|error| {
            self.state.with(|state| state.account.cancel(bytes));
            error.into()
        })
    }

    /// Frees memory that was charged to this client.
    pub(crate) fn free<S: Stage, K: KindTag<Set = E::Set>>(&self, handle: Handle<S, K>) {
        let bytes = handle.extent().len();
        // A handle of this very engine is always accepted.
        let _ = self.engine().free(handle);
        self.state.with(|state| state.account.uncharge(bytes));
    }

    /// Writes and publishes code. The draft is freed if that fails.
    pub(crate) fn publish<K: KnownKind<Set = E::Set>>(
        &self,
        mut draft: Draft<K>,
        code: &[u8],
    ) -> Result<Live<K>, Error> {
        if let Err(error) = self.engine().write(&mut draft, 0, code) {
            self.free(draft);
            return Err(error.into());
        }
        self.engine().publish(draft).map_err(|failed| {
            self.free(failed.handle);
            failed.error.into()
        })
    }

    /// Allocates `len` bytes, lets `build` make the code for their address, and publishes it: all of it or nothing.
    pub(crate) fn install<K: KnownKind<Set = E::Set>>(
        &self,
        len: u64,
        credit: Credit,
        build: impl FnOnce(u64) -> Result<Vec<u8>, Error>,
    ) -> Result<Live<K>, Error> {
        let draft = self.alloc::<K>(len, credit)?;
        match build(draft.address()) {
            Ok(code) => self.publish(draft, &code),
            Err(error) => {
                self.free(draft);
                Err(error)
            }
        }
    }

    /// Makes room in the table, so that a caller with much to undo learns early that there is none.
    pub(crate) fn make_room(&self) -> Result<(), Error> {
        self.state.with(State::reserve)
    }

    /// Puts something into the table. Its memory is freed if there is no room.
    pub(crate) fn hold(&self, value: T) -> Result<Id<T>, Error> {
        let held = self.state.with(|state| {
            if let Err(error) = state.reserve() {
                return Err((value, error));
            }
            let start = value.extent().start();
            let id = state.registry.insert(value)?;
            state.by_start.insert(start, id);
            Ok(id)
        });
        held.map_err(|(value, error)| {
            self.free(value.into_code());
            error
        })
    }

    /// Takes something out of the table. Its name is stale from now on.
    pub(crate) fn take(&self, id: Id<T>) -> Result<T, Error> {
        self.take_if(id, |_| Ok(()))
    }

    /// The same if `check` agrees, in one step.
    pub(crate) fn take_if(&self, id: Id<T>, check: impl FnOnce(&T) -> Result<(), Error>) -> Result<T, Error> {
        self.state.with(|state| {
            check(state.registry.get_mut(id)?)?;
            let value = state.registry.remove(id)?;
            state.by_start.remove(&value.extent().start());
            Ok(value)
        })
    }

    /// Looks at or changes something held. No other caller can meanwhile.
    pub(crate) fn with<O>(&self, id: Id<T>, body: impl FnOnce(&mut T) -> Result<O, Error>) -> Result<O, Error> {
        self.state.with(|state| body(state.registry.get_mut(id)?))
    }

    /// Takes everything out of the table and frees it.
    pub(crate) fn free_all(&self) {
        for place in 0..self.state.with(|state| state.registry.places()) {
            let taken = self.state.with(|state| {
                let value = state.registry.remove_at(place)?;
                state.by_start.remove(&value.extent().start());
                Some(value)
            });
            taken.into_iter().for_each(|value| self.free(value.into_code()));
        }
    }

    /// What holds an address.
    pub(crate) fn find(&self, address: u64) -> Option<Id<T>> {
        let start = self.engine().find(address)?.extent.start();
        self.state.with(|state| {
            let id = *state.by_start.get(&start)?;
            let value = state.registry.get_mut(id).ok()?;
            value.extent().contains(address).then_some(id)
        })
    }

    /// How many things fulfil a condition.
    pub(crate) fn count(&self, condition: impl Fn(&T) -> bool) -> usize {
        self.state.with(|state| state.registry.iter().filter(|value| condition(value)).count())
    }

    pub(crate) fn usage(&self) -> Usage {
        self.state.with(|state| state.account.usage())
    }
}
