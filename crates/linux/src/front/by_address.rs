//! Memory whose owners keep nothing but its address.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

use execmem::{Draft, EngineOf, EngineRef, Error, Failed, Kind, KindTag, Live};
use hashbrown::HashTable;
use hashbrown::hash_table::{AbsentEntry, OccupiedEntry};

use crate::Linux;

/// Keeps the handles of memory that is published and freed by address: for interfaces that hand out pointers and get them back.
///
/// An address publishes and frees only what was [kept](Self::keep) here, so that code with another owner is not freed by
/// mistake. Costs a lock and some 50 bytes of heap an allocation beside what the engine does. What is kept is freed when the
/// value is dropped.
///
/// ```
/// use execmem::kinds::Text;
/// use execmem_linux::ByAddress;
///
/// let engine = execmem_linux::shared()?;
/// let functions = ByAddress::new(engine);
/// let address = functions.keep(engine.publish(engine.alloc::<Text>(64)?)?)?;
/// functions.free_at(address)?;
/// assert!(functions.free_at(address).is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct ByAddress<E: EngineRef<Memory = Linux, Set = Kind>> {
    engine: E,
    kept: Mutex<HashTable<Kept>>,
    /// How many, written under the lock.
    count: AtomicUsize,
}

#[derive(Debug)]
enum Kept {
    Draft(Draft),
    Live(Live),
}

impl Kept {
    const fn address(&self) -> u64 {
        match self {
            Kept::Draft(draft) => draft.address(),
            Kept::Live(live) => live.address(),
        }
    }

    fn entry<E: EngineRef<Memory = Linux, Set = Kind>>(&self, engine: &EngineOf<E>) -> u64 {
        match self {
            Kept::Draft(draft) => engine.entry(draft),
            Kept::Live(live) => engine.entry(live),
        }
    }

    /// Refuses a handle of another engine, and a forked child.
    fn check<E: EngineRef<Memory = Linux, Set = Kind>>(&self, engine: &EngineOf<E>) -> Result<(), Error> {
        match self {
            Kept::Draft(draft) => engine.read(draft, 0, &mut []),
            Kept::Live(live) => engine.read(live, 0, &mut []),
        }
    }

    fn free<E: EngineRef<Memory = Linux, Set = Kind>>(self, engine: &EngineOf<E>) -> Result<(), Error> {
        match self {
            Kept::Draft(draft) => Ok(engine.free(draft)?),
            Kept::Live(live) => Ok(engine.free(live)?),
        }
    }
}

impl<E: EngineRef<Memory = Linux, Set = Kind>> ByAddress<E> {
    /// Keeps nothing yet.
    #[must_use]
    pub fn new(engine: E) -> Self {
        ByAddress { engine, kept: Mutex::default(), count: AtomicUsize::new(0) }
    }

    /// The way to the engine.
    pub const fn engine(&self) -> &E {
        &self.engine
    }

    /// Keeps published memory, and returns its [entry point](execmem::Engine::entry).
    ///
    /// # Errors
    ///
    /// [`Error::ForeignHandle`] or that of a forked child; the memory counts as dropped then. [`Error::OutOfMemory`]; the memory
    /// is free then.
    pub fn keep<K: KindTag<Set = Kind>>(&self, live: Live<K>) -> Result<u64, Error> {
        self.keep_any(Kept::Live(live.erase()))
    }

    /// Keeps a draft, to be [published](Self::publish_at) by its address, and returns its entry point. Its content is stored
    /// through a pointer that [`writable`](crate::writable()) gave before.
    ///
    /// ```
    /// use execmem::kinds::Text;
    /// use execmem_linux::{ByAddress, writable};
    ///
    /// let engine = execmem_linux::shared()?;
    /// let functions = ByAddress::new(engine);
    /// let mut draft = engine.alloc::<Text>(64)?;
    /// let pointer = writable(engine, &mut draft);
    /// let address = functions.keep_draft(draft)?;
    /// // Sound: the draft has 64 bytes, and is neither published nor freed.
    /// pointer.map(|pointer| unsafe { pointer.write_bytes(0x90, 64) });
    /// functions.publish_at(address)?;
    /// functions.free_at(address)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`keep`](Self::keep).
    pub fn keep_draft<K: KindTag<Set = Kind>>(&self, draft: Draft<K>) -> Result<u64, Error> {
        self.keep_any(Kept::Draft(draft.erase()))
    }

    fn keep_any(&self, kept: Kept) -> Result<u64, Error> {
        let engine = self.engine.engine();
        kept.check::<E>(engine)?;
        let entry = kept.entry::<E>(engine);
        let mut all = self.all();
        if all.try_reserve(1, hash).is_err() {
            drop(all);
            kept.free::<E>(engine)?;
            return Err(Error::OutOfMemory);
        }
        all.insert_unique(hash(&kept), kept, hash);
        self.count.store(all.len(), Ordering::Relaxed);
        Ok(entry)
    }

    /// Publishes the draft that holds an address. Does nothing to what is published.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] if it is not kept here, that of a forked child, and those of
    /// [`Engine::publish`](execmem::Engine::publish); the draft stays.
    pub fn publish_at(&self, address: u64) -> Result<(), Error> {
        let mut all = self.all_unless_forked(address)?;
        let (kept, place) = self.entry_holding(&mut all, address)?.remove();
        let (kept, outcome) = match kept {
            Kept::Draft(draft) => match self.engine.engine().publish(draft) {
                Ok(live) => (Kept::Live(live), Ok(())),
                Err(Failed { handle, error }) => (Kept::Draft(handle), Err(error)),
            },
            live @ Kept::Live(_) => (live, Ok(())),
        };
        place.insert(kept);
        outcome
    }

    /// Frees the memory that holds an address, the entry point or any other. No processor may execute it any more.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] if it is not kept here, and that of a forked child; nothing was freed.
    pub fn free_at(&self, address: u64) -> Result<(), Error> {
        let mut all = self.all_unless_forked(address)?;
        let entry = self.entry_holding(&mut all, address)?;
        entry.get().check::<E>(self.engine.engine())?;
        let (kept, _) = entry.remove();
        self.count.store(all.len(), Ordering::Relaxed);
        drop(all);
        kept.free::<E>(self.engine.engine())
    }

    /// Allocations that are kept. Takes no lock.
    #[must_use]
    pub fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// What holds an address. Most callers give the start.
    fn entry_holding<'t>(&self, all: &'t mut HashTable<Kept>, address: u64) -> Result<OccupiedEntry<'t, Kept>, Error> {
        let entry = entry_at(all, address).or_else(|absent| {
            let found = self.engine.engine().find(address);
            entry_at(absent.into_table(), found.map_or(address, |found| found.extent.start()))
        });
        entry.map_err(|_| Error::NotFound { address })
    }

    fn all(&self) -> MutexGuard<'_, HashTable<Kept>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The same, except that a forked child does not wait: there, the holder of the lock may not exist.
    fn all_unless_forked(&self, address: u64) -> Result<MutexGuard<'_, HashTable<Kept>>, Error> {
        match self.kept.try_lock() {
            Ok(all) => Ok(all),
            Err(TryLockError::Poisoned(all)) => Ok(all.into_inner()),
            Err(TryLockError::WouldBlock) => {
                self.engine.engine().read_at(address, &mut [0])?;
                Ok(self.all())
            }
        }
    }
}

fn entry_at(all: &mut HashTable<Kept>, start: u64) -> Result<OccupiedEntry<'_, Kept>, AbsentEntry<'_, Kept>> {
    all.find_entry(hash_of(start), |kept| kept.address() == start)
}

fn hash(kept: &Kept) -> u64 {
    hash_of(kept.address())
}

/// Spreads blocks of 16 KiB over the table, and keeps what lies in one block together: allocations that are made one after the
/// other are found in the same cache lines. The table tells entries apart by the upper bits first.
const fn hash_of(address: u64) -> u64 {
    let (block, slot) = (address >> 14, address >> 6 & 255);
    block.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(slot << 57 | slot)
}

impl<E: EngineRef<Memory = Linux, Set = Kind>> Drop for ByAddress<E> {
    fn drop(&mut self) {
        // Held by a thread of the parent, which does not exist in this forked child: nobody knows how far it came.
        if matches!(self.kept.try_lock(), Err(TryLockError::WouldBlock)) {
            return std::mem::forget(std::mem::take(self.kept.get_mut().unwrap_or_else(PoisonError::into_inner)));
        }
        let kept = self.kept.get_mut().unwrap_or_else(PoisonError::into_inner);
        for kept in kept.drain() {
            // A forked child frees nothing of its parent's.
            let _ = kept.free::<E>(self.engine.engine());
        }
    }
}

#[cfg(test)]
mod tests {
    use execmem::kinds::Text;

    use super::*;
    use crate::Options;

    /// As in a child that was forked while another thread had the lock: its holder does not exist.
    #[test]
    fn what_a_thread_that_is_gone_was_changing_is_left_alone() {
        let engine = Linux::engine(&Options::default()).expect("executable memory");
        let kept = ByAddress::new(&engine);
        kept.keep_draft(engine.alloc::<Text>(64).expect("room")).expect("heap");
        std::mem::forget(kept.kept.lock());
        assert_eq!(kept.count(), 1);
        drop(kept);
        assert_eq!(engine.kind_stats(Kind::Text).live, 1);
        engine.audit().expect("nothing was freed");
    }
}
