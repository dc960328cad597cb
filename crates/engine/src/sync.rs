//! Locks, all in one place: `parking_lot` with `std`, any raw mutexes without, loom's under `cfg(loom)`.
//!
//! A lock has methods that take a closure: no guard outlives the expression that took it, so what happens under a lock
//! is always visible as one block.

pub use lock_api::RawMutex;

#[cfg(not(loom))]
pub(crate) use core::sync::atomic::{AtomicBool, AtomicU8, Ordering};
#[cfg(loom)]
pub(crate) use loom::sync::atomic::{AtomicBool, AtomicU8, Ordering};

/// Which locks an engine uses, and which shard suits a caller.
///
/// | lock | held | what happens under it |
/// |---|---|---|
/// | `Spin` | for a search or a few words of bookkeeping | the heap may be asked; no call of the backend, no hook |
/// | `Sleep` | while memory is mapped, unmapped or changes its rights | calls of the backend, and the hooks that are told of memory |
///
/// Order: `Sleep`, then one `Spin`. An engine that [defers](crate::Engine::deferring) takes only `Spin` to free, and to
/// allocate [without growth](crate::Request::without_growth). Which call takes what is in the table of [costs](crate#costs).
///
/// # Interrupts
///
/// | lock | what it does about interrupts |
/// |---|---|
/// | `Spin`, if a handler of interrupts calls the engine | turns them off while it is held, and restores what they were |
/// | `Spin`, otherwise | nothing; it keeps other threads off its processor, or they spin while its owner does not run |
/// | `Sleep` | leaves them on: the backend waits for other processors meanwhile |
///
/// No call of the backend is made under `Spin`, so a processor may wait for it with interrupts off. The heap may be asked
/// under it: the lock of the heap does about interrupts what `Spin` does, and the heap does not call the engine.
///
/// A processor that waits for `Sleep` answers what others ask of it, as one does whose interrupts are on: the owner may be
/// waiting for it to forget a translation. A kernel without threads may use a lock that spins for both, if that lock answers
/// while it waits (`crates/bare/src/kernel/locks.rs` in the repository is one).
///
/// Calls that take no lock, such as [`find`](crate::Engine::find), are possible in any handler, also in one that interrupts a
/// call of the engine.
pub trait Locking {
    /// The lock that is held shortly.
    type Spin: RawMutex;

    /// The lock that is held while the backend works.
    type Sleep: RawMutex;

    /// Which shard suits the caller: its processor in a kernel, its thread in a process. Callers with different hints
    /// allocate from different blocks if there are enough, and so do not wait for each other. May change at any time; only
    /// speed depends on it. Engines use the low bits.
    #[must_use]
    fn shard_hint() -> usize;

    /// The caller waited for its shard. Before, a thread with the hint `other` allocated there; if that is its own, it waited
    /// for a look or a free only. It may want another hint from now on.
    fn contended(other: usize) {
        let _ = other;
    }
}

/// Any raw mutexes, and one shard.
#[derive(Debug)]
pub struct OneShard<Spin, Sleep = Spin>(core::marker::PhantomData<(Spin, Sleep)>);

impl<Spin: RawMutex, Sleep: RawMutex> Locking for OneShard<Spin, Sleep> {
    type Spin = Spin;
    type Sleep = Sleep;

    fn shard_hint() -> usize {
        0
    }
}

#[cfg(not(loom))]
mod inner {
    use super::RawMutex;

    /// A value behind a lock.
    pub struct Lock<R, T>(lock_api::Mutex<R, T>);

    impl<R: RawMutex, T> Lock<R, T> {
        /// Locks `value` away.
        pub const fn new(value: T) -> Self {
            Lock(lock_api::Mutex::from_raw(R::INIT, value))
        }

        /// Waits for the lock and runs `body` under it.
        #[inline]
        pub fn with<O>(&self, body: impl FnOnce(&mut T) -> O) -> O {
            body(&mut self.0.lock())
        }

        /// Runs `body` under the lock unless another thread holds it.
        #[inline]
        pub fn try_with<O>(&self, body: impl FnOnce(&mut T) -> O) -> Option<O> {
            self.0.try_lock().map(|mut value| body(&mut value))
        }
    }
}

#[cfg(loom)]
mod inner {
    use core::marker::PhantomData;

    /// A value behind a lock that loom schedules.
    pub struct Lock<R, T>(loom::sync::Mutex<T>, PhantomData<fn() -> R>);

    impl<R, T> Lock<R, T> {
        /// Locks `value` away.
        pub fn new(value: T) -> Self {
            Lock(loom::sync::Mutex::new(value), PhantomData)
        }

        /// Waits for the lock and runs `body` under it.
        pub fn with<O>(&self, body: impl FnOnce(&mut T) -> O) -> O {
            let Ok(mut guard) = self.0.lock() else { panic!("a panic under the lock") };
            body(&mut guard)
        }

        /// Runs `body` under the lock unless another thread holds it.
        pub fn try_with<O>(&self, body: impl FnOnce(&mut T) -> O) -> Option<O> {
            self.0.try_lock().ok().map(|mut guard| body(&mut guard))
        }
    }
}

pub use inner::Lock;

impl<R, T> core::fmt::Debug for Lock<R, T> {
    /// Says that it is a lock, without taking it.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Lock(..)")
    }
}

#[cfg(feature = "std")]
mod lanes;
#[cfg(feature = "std")]
pub use lanes::ThreadLanes;
