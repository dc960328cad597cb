//! execmem with locks that count: how often a thread waited, and how often it was told to take another shard.

use std::sync::atomic::{AtomicU64, Ordering};

use execmem::sync::{Locking, RawMutex, ThreadLanes};

use crate::measure::Measures;

type Plain = <ThreadLanes as Locking>::Spin;

/// What all threads of the process had to wait for. Nothing is counted where nobody waits, so that it costs nothing there.
static SHARD_WAITS: AtomicU64 = AtomicU64::new(0);
static MAPPING_WAITS: AtomicU64 = AtomicU64::new(0);
static MET: AtomicU64 = AtomicU64::new(0);

/// What was counted, for so many pairs.
pub(super) fn counts(pairs: usize) -> Measures {
    let per_1000 = |count: &AtomicU64| count.load(Ordering::Relaxed) as f64 * 1000.0 / pairs.max(1) as f64;
    let counts = [("waits_per_1000", &SHARD_WAITS), ("mapping_waits_per_1000", &MAPPING_WAITS), ("met_per_1000", &MET)];
    counts.into_iter().map(|(name, count)| (name.to_owned(), per_1000(count))).collect()
}

/// Locks that may count.
pub(crate) trait Locks: Locking<Spin: Sync, Sleep: Sync> {
    /// Whether they do.
    const COUNT: bool = false;
}

impl Locks for ThreadLanes {}

/// The product's locks, counted.
#[derive(Debug)]
pub(crate) struct Counting;

impl Locking for Counting {
    type Spin = Counted<true>;
    type Sleep = Counted<false>;

    fn shard_hint() -> usize {
        ThreadLanes::shard_hint()
    }

    fn contended(other: usize) {
        MET.fetch_add(1, Ordering::Relaxed);
        ThreadLanes::contended(other);
    }
}

impl Locks for Counting {
    const COUNT: bool = true;
}

/// A lock that counts waits.
pub(crate) struct Counted<const IS_SHARD: bool>(Plain);

// SAFETY: it is locked exactly while the lock inside is, which keeps the promise of the trait.
unsafe impl<const IS_SHARD: bool> RawMutex for Counted<IS_SHARD> {
    const INIT: Self = Counted(Plain::INIT);
    type GuardMarker = <Plain as RawMutex>::GuardMarker;

    fn lock(&self) {
        if !self.0.try_lock() {
            let waits = if IS_SHARD { &SHARD_WAITS } else { &MAPPING_WAITS };
            waits.fetch_add(1, Ordering::Relaxed);
            self.0.lock();
        }
    }

    fn try_lock(&self) -> bool {
        self.0.try_lock()
    }

    unsafe fn unlock(&self) {
        // SAFETY: the caller holds this lock, and so the one inside.
        unsafe { self.0.unlock() };
    }
}
