//! What every client is made of: an engine, a table of what it holds, and an account.
//!
//! # Invariants (I9)
//!
//! A step that fails gives back what the steps before it took: memory, charge, and place in the table.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use execmem::sync::{Lock, Locking};
use execmem::{Backend, Draft, Engine, Extent, Handle, KnownKind, Live};

use crate::Error;
use crate::account::{Account, Credit, Usage};
use crate::registry::{Id, Registry};

/// Something that a client holds.
pub(crate) trait Held {
    /// Its memory.
    fn extent(&self) -> Extent;
}

/// The common part of a client that holds things of type `T`.
#[derive(Debug)]
pub(crate) struct Client<'e, B, L: Locking, T> {
    pub(crate) engine: &'e Engine<B, L>,
    state: Lock<L, State<T>>,
}

#[derive(Debug)]
struct State<T> {
    registry: Registry<T>,
    by_address: BTreeMap<u64, Id<T>>,
    account: Account,
}

impl<'e, B: Backend, L: Locking, T: Held> Client<'e, B, L, T> {
    /// A client that holds at most `limit` bytes.
    pub(crate) fn new(engine: &'e Engine<B, L>, limit: u64) -> Self {
        let state = State { registry: Registry::new(), by_address: BTreeMap::new(), account: Account::new(limit) };
        Client { engine, state: Lock::new(state) }
    }

    /// Memory that is charged to this client.
    pub(crate) fn alloc<K: KnownKind>(&self, len: u64, credit: Credit) -> Result<Draft<K>, Error> {
        // Rounded as the engine will; what it refuses, it refuses itself.
        let bytes = self.engine.table().quantum(K::KIND).round_up(len).unwrap_or(len);
        self.state.with(|state| state.account.charge(bytes, credit))?;
        self.engine.alloc::<K>(len).map_err(|error| {
            self.state.with(|state| state.account.cancel(bytes));
            error.into()
        })
    }

    /// Frees memory that was charged to this client.
    pub(crate) fn free(&self, handle: impl Handle) {
        let bytes = handle.extent().len();
        // A handle of this very engine is always accepted.
        let _ = self.engine.free(handle);
        self.state.with(|state| state.account.uncharge(bytes));
    }

    /// Writes and publishes code. The draft is freed if that fails.
    pub(crate) fn publish<K: KnownKind>(&self, mut draft: Draft<K>, code: &[u8]) -> Result<Live<K>, Error> {
        if let Err(error) = self.engine.write(&mut draft, 0, code) {
            self.free(draft);
            return Err(error.into());
        }
        self.engine.publish(draft).map_err(|failed| {
            self.free(failed.handle);
            failed.error.into()
        })
    }

    /// Allocates `len` bytes, lets `build` make the code for their address, and publishes it: all of it or nothing.
    pub(crate) fn install<K: KnownKind>(
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

    /// Puts something into the table.
    pub(crate) fn hold(&self, value: T) -> Id<T> {
        self.state.with(|state| {
            let start = value.extent().start();
            let id = state.registry.insert(value);
            state.by_address.insert(start, id);
            id
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
            state.by_address.remove(&value.extent().start());
            Ok(value)
        })
    }

    /// Looks at or changes something held. No other caller can meanwhile.
    pub(crate) fn with<O>(&self, id: Id<T>, body: impl FnOnce(&mut T) -> Result<O, Error>) -> Result<O, Error> {
        self.state.with(|state| body(state.registry.get_mut(id)?))
    }

    /// What holds an address.
    pub(crate) fn find(&self, address: u64) -> Option<Id<T>> {
        self.state.with(|state| {
            let (_, &id) = state.by_address.range(..=address).next_back()?;
            let value = state.registry.get_mut(id).ok()?;
            value.extent().contains(address).then_some(id)
        })
    }

    /// What fulfils a condition.
    pub(crate) fn ids(&self, condition: impl Fn(&T) -> bool) -> Vec<Id<T>> {
        self.state.with(|state| state.registry.iter().filter(|(_, value)| condition(value)).map(|(id, _)| id).collect())
    }

    pub(crate) fn usage(&self) -> Usage {
        self.state.with(|state| state.account.usage())
    }
}
