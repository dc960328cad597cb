//! What a call does besides its own work: calls of the memory, and locks. Noted by memory and locks.

#![allow(unsafe_code, reason = "a lock that notes that it is taken implements an unsafe trait")]

use std::cell::Cell;

use execmem::sync::{Locking, RawMutex, ThreadLanes};

/// Something that a call may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fact {
    /// It asks the heap.
    Heap,
    /// `write`, `fill`, `read`.
    Copies,
    /// `sync_code`, `sync_group`.
    Tells,
    /// `map`, `unmap`, `protect`, `collapse`, `adopt`.
    Maps,
    /// It takes a lock that spins.
    Spin,
    /// It takes a lock that may sleep.
    Sleep,
}

/// A set of facts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Facts(u8);

impl Facts {
    /// The same and one more.
    pub(crate) const fn and(self, fact: Fact) -> Self {
        Facts(self.0 | 1 << fact as u8)
    }

    /// Those of both.
    pub(crate) const fn union(self, other: Self) -> Self {
        Facts(self.0 | other.0)
    }

    /// Whether a fact is among them.
    pub(crate) const fn has(self, fact: Fact) -> bool {
        self.0 & 1 << fact as u8 != 0
    }
}

thread_local! {
    static NOTED: Cell<Facts> = const { Cell::new(Facts(0)) };
}

/// Notes a fact.
pub(crate) fn note(fact: Fact) {
    NOTED.set(NOTED.get().and(fact));
}

/// What was noted since this was last asked.
pub(crate) fn take() -> Facts {
    NOTED.take()
}

type Plain = <ThreadLanes as Locking>::Spin;

/// A lock that notes that it is taken, and whether it spins.
pub(crate) struct Noting<const IS_SPIN: bool>(Plain);

// SAFETY: it is locked exactly while the lock inside is, which keeps the promise of the trait.
unsafe impl<const IS_SPIN: bool> RawMutex for Noting<IS_SPIN> {
    const INIT: Self = Noting(Plain::INIT);
    type GuardMarker = <Plain as RawMutex>::GuardMarker;

    fn lock(&self) {
        note(if IS_SPIN { Fact::Spin } else { Fact::Sleep });
        self.0.lock();
    }

    fn try_lock(&self) -> bool {
        note(if IS_SPIN { Fact::Spin } else { Fact::Sleep });
        self.0.try_lock()
    }

    unsafe fn unlock(&self) {
        // SAFETY: the caller holds it, as the trait demands.
        unsafe { self.0.unlock() }
    }
}

/// The locks of engines under test.
#[derive(Debug)]
pub(crate) struct Locks;

impl Locking for Locks {
    type Spin = Noting<true>;
    type Sleep = Noting<false>;

    fn shard_hint() -> usize {
        0
    }
}
