//! Locks, all in one place: `parking_lot` with `std`, any raw mutex without, loom's under `cfg(loom)`.
//!
//! A lock has methods that take a closure: no guard outlives the expression that took it, so what happens under a lock
//! is always visible as one block.

pub use lock_api::RawMutex;

#[cfg(not(loom))]
pub(crate) use core::sync::atomic::{AtomicBool, AtomicU8, Ordering};
#[cfg(loom)]
pub(crate) use loom::sync::atomic::{AtomicBool, AtomicU8, Ordering};

/// What kind of lock an engine uses, and on which *lane* the caller is.
///
/// Callers on different lanes allocate from different blocks if there are enough, and so do not wait for each other. A
/// kernel has a lane per processor, a process one per thread. Any number is a lane; engines use the low bits.
pub trait Locking {
    /// The lock.
    type Mutex: RawMutex;

    /// The lane of whoever calls. May change at any time; only speed depends on it.
    #[must_use]
    fn lane() -> usize;

    /// Whoever calls waited for the memory of its lane, and may want another one from now on. Before, somebody on lane
    /// `other` allocated there; if that is its own, it waited for a look or a free only.
    fn met(other: usize) {
        let _ = other;
    }

    /// Whoever calls freed memory that other lanes allocate from, `other` among them, and may want to be on one of these
    /// from now on.
    fn freed_on(other: usize) {
        let _ = other;
    }
}

/// Any raw mutex, and a single lane.
#[derive(Debug)]
pub struct OneLane<R>(core::marker::PhantomData<R>);

impl<R: RawMutex> Locking for OneLane<R> {
    type Mutex = R;

    fn lane() -> usize {
        0
    }
}

#[cfg(not(loom))]
mod inner {
    use lock_api::RawMutex as _;

    use super::Locking;

    /// A value behind a lock.
    pub struct Lock<L: Locking, T>(lock_api::Mutex<L::Mutex, T>);

    impl<L: Locking, T> Lock<L, T> {
        /// Locks `value` away.
        pub const fn new(value: T) -> Self {
            Lock(lock_api::Mutex::from_raw(L::Mutex::INIT, value))
        }

        /// Waits for the lock and runs `body` under it.
        #[inline]
        pub fn with<O>(&self, body: impl FnOnce(&mut T) -> O) -> O {
            body(&mut self.0.lock())
        }

        /// Runs `body` under the lock unless somebody else has it.
        #[inline]
        pub fn try_with<O>(&self, body: impl FnOnce(&mut T) -> O) -> Option<O> {
            self.0.try_lock().map(|mut value| body(&mut value))
        }
    }
}

#[cfg(loom)]
mod inner {
    use core::marker::PhantomData;

    use super::Locking;

    /// A value behind a lock that loom schedules.
    pub struct Lock<L, T>(loom::sync::Mutex<T>, PhantomData<fn() -> L>);

    impl<L: Locking, T> Lock<L, T> {
        /// Locks `value` away.
        pub fn new(value: T) -> Self {
            Lock(loom::sync::Mutex::new(value), PhantomData)
        }

        /// Waits for the lock and runs `body` under it.
        pub fn with<O>(&self, body: impl FnOnce(&mut T) -> O) -> O {
            let Ok(mut guard) = self.0.lock() else { panic!("a panic under the lock") };
            body(&mut guard)
        }

        /// Runs `body` under the lock unless somebody else has it.
        pub fn try_with<O>(&self, body: impl FnOnce(&mut T) -> O) -> Option<O> {
            self.0.try_lock().ok().map(|mut guard| body(&mut guard))
        }
    }
}

pub use inner::Lock;

impl<L: Locking, T> core::fmt::Debug for Lock<L, T> {
    /// Says that it is a lock, without taking it.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Lock(..)")
    }
}

#[cfg(feature = "std")]
mod lanes;
#[cfg(feature = "std")]
pub use lanes::ThreadLanes;
