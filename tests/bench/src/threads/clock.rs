//! The clock of a thread, and locks that know when they were held.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use execmem::sync::RawMutex;
use lock_api::GuardNoSend;

/// How long a shard is locked by an allocation or a free: an estimate, about half of the 450 ns that a pair takes (T4-1).
const SHARD_NS: u64 = 125;
/// What a replacement does outside of locks: the other half.
pub(super) const OUTSIDE_NS: u64 = 200;
/// What mapping a block of 2 MiB takes, under the lock of changes, where the kernel finds a large page at once: an estimate.
pub(super) const MAP_NS: u64 = 300_000;

/// What happened to a thread.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Counts {
    /// Waits for a shard, and how long.
    pub(super) shard_waits: u64,
    pub(super) waited_ns: u64,
    /// Waits for the lock of changes.
    pub(super) mapping_waits: u64,
    /// Told that it waited for another.
    pub(super) met: u64,
}

impl Counts {
    /// What came after an earlier time.
    pub(super) fn since(self, before: Counts) -> Counts {
        Counts {
            shard_waits: self.shard_waits - before.shard_waits,
            waited_ns: self.waited_ns - before.waited_ns,
            mapping_waits: self.mapping_waits - before.mapping_waits,
            met: self.met - before.met,
        }
    }

    pub(super) fn add(&mut self, other: Counts) {
        self.shard_waits += other.shard_waits;
        self.waited_ns += other.waited_ns;
        self.mapping_waits += other.mapping_waits;
        self.met += other.met;
    }
}

thread_local! {
    static NOW_NS: Cell<u64> = const { Cell::new(0) };
    static COUNTS: Cell<Counts> = const {
        Cell::new(Counts { shard_waits: 0, waited_ns: 0, mapping_waits: 0, met: 0 })
    };
}

/// The calling thread's time.
pub(super) fn now_ns() -> u64 {
    NOW_NS.get()
}

/// The calling thread works.
pub(super) fn pass(ns: u64) {
    NOW_NS.set(NOW_NS.get() + ns);
}

/// Counts something of the calling thread.
pub(super) fn count(change: impl FnOnce(&mut Counts)) {
    let mut counts = COUNTS.get();
    change(&mut counts);
    COUNTS.set(counts);
}

/// What happened to the calling thread.
pub(super) fn counts() -> Counts {
    COUNTS.get()
}

/// Times that a lock remembers, of which those that touch are one: no thread is further behind than so many.
const REMEMBERED: usize = 128;

/// A lock on the clocks of threads, of which one runs at a time.
pub(super) struct Lock<const IS_SHARD: bool> {
    /// When it was held: from and to.
    from_ns: [AtomicU64; REMEMBERED],
    to_ns: [AtomicU64; REMEMBERED],
    next: AtomicUsize,
    /// Since when it is held.
    since_ns: AtomicU64,
    is_held: AtomicBool,
}

impl<const IS_SHARD: bool> Lock<IS_SHARD> {
    /// The end of a time in which another thread held it, if the caller cannot have it from `now_ns` on.
    fn busy_until(&self, now_ns: u64) -> Option<u64> {
        let until_ns = now_ns + if IS_SHARD { SHARD_NS } else { 1 };
        let times = self.from_ns.iter().zip(&self.to_ns);
        let mut times = times.map(|(from, to)| (from.load(Ordering::Relaxed), to.load(Ordering::Relaxed)));
        times.find(|(from, to)| *from < until_ns && now_ns < *to).map(|(_, to)| to)
    }

    /// The thread has it from now on. Two that run do not exist, so it is free, or taken twice by one.
    fn take(&self) {
        let was_held = self.is_held.swap(true, Ordering::Relaxed);
        assert!(!was_held, "a thread locks what it has");
        self.since_ns.store(now_ns(), Ordering::Relaxed);
    }

    /// Remembers that it was held from one time to another.
    fn remember(&self, from_ns: u64, to_ns: u64) {
        let ends_there = |to: &AtomicU64| to.load(Ordering::Relaxed) == from_ns;
        if let Some(to) = self.to_ns.iter().find(|to| from_ns > 0 && ends_there(to)) {
            return to.store(to_ns, Ordering::Relaxed);
        }
        let place = self.next.load(Ordering::Relaxed);
        self.from_ns[place].store(from_ns, Ordering::Relaxed);
        self.to_ns[place].store(to_ns, Ordering::Relaxed);
        self.next.store((place + 1) % REMEMBERED, Ordering::Relaxed);
    }
}

// SAFETY: of the threads that use it one runs at a time, and `take` panics if the lock is held, so it is never held twice.
unsafe impl<const IS_SHARD: bool> RawMutex for Lock<IS_SHARD> {
    const INIT: Self = Lock {
        from_ns: [const { AtomicU64::new(0) }; REMEMBERED],
        to_ns: [const { AtomicU64::new(0) }; REMEMBERED],
        next: AtomicUsize::new(0),
        since_ns: AtomicU64::new(0),
        is_held: AtomicBool::new(false),
    };
    type GuardMarker = GuardNoSend;

    fn lock(&self) {
        let before = now_ns();
        while let Some(end) = self.busy_until(now_ns()) {
            pass(end - now_ns());
        }
        let waited = now_ns() - before;
        if waited > 0 {
            count(|counts| {
                counts.waited_ns += waited;
                *(if IS_SHARD { &mut counts.shard_waits } else { &mut counts.mapping_waits }) += 1;
            });
        }
        self.take();
    }

    fn try_lock(&self) -> bool {
        let is_free = self.busy_until(now_ns()).is_none();
        if is_free {
            self.take();
        }
        is_free
    }

    unsafe fn unlock(&self) {
        if IS_SHARD {
            pass(SHARD_NS);
        }
        self.remember(self.since_ns.load(Ordering::Relaxed), now_ns());
        self.is_held.store(false, Ordering::Relaxed);
    }
}
