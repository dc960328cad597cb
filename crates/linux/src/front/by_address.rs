//! Published memory whose owners keep nothing but its address.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::{Mutex, MutexGuard, PoisonError};

use execmem::{EngineRef, Error, Kind, KindTag, Live};

use crate::Linux;

/// Keeps the handles of published memory, which is freed by address: for interfaces that hand out pointers and get them back.
///
/// An address frees only what was [kept](Self::keep) here, so that code with another owner is not freed by mistake. Costs a
/// hash and a lock beside what the engine does. What is kept is freed when the value is dropped.
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
    live: Mutex<Lives>,
}

/// Handles by first address.
type Lives = HashMap<u64, Live, BuildHasherDefault<Spread>>;

/// Spreads addresses, which this process chose: nothing that others send decides them.
#[derive(Debug, Default)]
struct Spread(u64);

impl Hasher for Spread {
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64(u64::from(*byte)));
    }

    fn write_u64(&mut self, word: u64) {
        // 2⁶⁴ by the golden ratio. The table takes its places from the low bits, which are made of the high ones.
        self.0 = (self.0 ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(32);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

impl<E: EngineRef<Memory = Linux, Set = Kind>> ByAddress<E> {
    /// Keeps nothing yet.
    #[must_use]
    pub fn new(engine: E) -> Self {
        ByAddress { engine, live: Mutex::default() }
    }

    /// The way to the engine.
    pub const fn engine(&self) -> &E {
        &self.engine
    }

    /// Keeps published memory, and returns its [entry point](execmem::Engine::entry).
    ///
    /// # Errors
    ///
    /// [`Error::ForeignHandle`] or that of a forked child; the memory counts as dropped then. [`Error::OutOfMemory`].
    pub fn keep<K: KindTag<Set = Kind>>(&self, live: Live<K>) -> Result<u64, Error> {
        let engine = self.engine.engine();
        engine.read(&live, 0, &mut [])?;
        let (start, entry) = (live.address(), engine.entry(&live));
        let mut all = self.all();
        if all.try_reserve(1).is_err() {
            drop(all);
            engine.free(live)?;
            return Err(Error::OutOfMemory);
        }
        all.insert(start, live.erase());
        Ok(entry)
    }

    /// Frees the memory that holds an address, the entry point or any other. No processor may execute it any more.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] if it is not kept here, and that of a forked child; nothing was freed.
    pub fn free_at(&self, address: u64) -> Result<(), Error> {
        let engine = self.engine.engine();
        // Before the lock: in a forked child its holder may not exist.
        engine.read_at(address, &mut [])?;
        let not_found = Error::NotFound { address };
        let at_start = self.all().remove(&address);
        let inside = || self.all().remove(&engine.find(address)?.extent.start());
        Ok(engine.free(at_start.or_else(inside).ok_or(not_found)?)?)
    }

    /// Allocations that are kept.
    #[must_use]
    pub fn count(&self) -> usize {
        self.all().len()
    }

    fn all(&self) -> MutexGuard<'_, Lives> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<E: EngineRef<Memory = Linux, Set = Kind>> Drop for ByAddress<E> {
    fn drop(&mut self) {
        let live = self.live.get_mut().unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<Live> = live.drain().map(|(_, live)| live).collect();
        // A forked child frees nothing of its parent's.
        let _ = self.engine.engine().free_group(&mut all);
    }
}
