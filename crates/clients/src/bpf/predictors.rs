//! Branch predictors are flushed before code stands where a program stood.

use execmem::sync::{Lock, Locking};
use execmem::{BackendError, Extent, Hooks, KnownKind as _};

use super::dirty::Dirty;
use crate::BpfKinds;

/// [`Hooks`] that flush branch predictors before code of any kind gets an address where a BPF program stood since the last
/// flush. Addresses where none stood cost a look at a list, and no flush.
///
/// For a kernel in which every author of a program may have trained predictors. [`Bpf`](super::Bpf) tells authors apart
/// instead, and knows only the programs of its own. `flush` runs under no lock, and may refuse: the allocation fails then
/// with [`Error::Hook`](execmem::Error::Hook), and the next one for such an address tries again.
///
/// Takes heap before a program is placed, 16 bytes for each that is live, and none when it goes.
///
/// ```
/// # use execmem_arch_x86::TABLE; use execmem_sim::Sim;
/// # use core::cell::Cell;
/// use execmem::sync::ThreadLanes;
/// use execmem::{Engine, Hooked, kinds::Bpf};
/// use execmem_clients::bpf::FlushPredictors;
///
/// let flushes = Cell::new(0);
/// let hooks = FlushPredictors::<_, ThreadLanes>::new(|| {
///     flushes.set(flushes.get() + 1); // a kernel: IBPB on every processor
///     Ok(())
/// });
/// let engine = Engine::new(TABLE, Hooked { memory: Sim::new(TABLE.machine()), hooks })?;
/// engine.free(engine.alloc::<Bpf>(100)?)?;
/// assert_eq!(flushes.get(), 0);
/// engine.free(engine.alloc::<Bpf>(100)?)?;
/// assert_eq!(flushes.get(), 1);
/// # Ok::<(), execmem::Error>(())
/// ```
#[derive(Debug)]
pub struct FlushPredictors<F, L: Locking> {
    flush: F,
    seen: Lock<L::Spin, Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    dirty: Dirty,
    /// Programs that have a place.
    live: u64,
    /// Programs that went, ever.
    gone: u64,
}

impl<F, L: Locking> FlushPredictors<F, L> {
    /// Hooks that call `flush`, which makes all processors forget what their predictors learned.
    pub fn new(flush: F) -> Self {
        FlushPredictors { flush, seen: Lock::new(Seen::default()) }
    }
}

impl<S: BpfKinds, F: Fn() -> Result<(), BackendError>, L: Locking> Hooks<S> for FlushPredictors<F, L> {
    fn before_use(&self, kind: S, place: Extent) -> Result<(), BackendError> {
        if !kind.is_code() {
            return Ok(());
        }
        let gone = self.seen.with(|seen| seen.dirty.overlaps(place).then_some(seen.gone));
        if let Some(gone) = gone {
            (self.flush)()?;
            // What went since may have gone after the flush.
            self.seen.with(|seen| {
                if seen.gone == gone {
                    seen.dirty.clear()
                }
            });
        }
        if kind == S::Bpf::KIND {
            self.seen.with(|seen| {
                seen.live += 1;
                // Without heap, a program that goes makes every address dirty.
                let _ = seen.dirty.reserve(seen.live);
            });
        }
        Ok(())
    }

    fn freed(&self, kind: S, place: Extent) {
        if kind == S::Bpf::KIND {
            self.seen.with(|seen| {
                seen.dirty.add(place);
                seen.live = seen.live.saturating_sub(1);
                seen.gone = seen.gone.wrapping_add(1);
            });
        }
    }
}
