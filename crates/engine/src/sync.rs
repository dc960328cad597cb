//! Locks, all in one place: `parking_lot` with `std`, any raw mutex without, loom's under `cfg(loom)`.
//!
//! A lock has one method, which takes a closure: no guard outlives the expression that took it, so what happens under
//! a lock is always visible as one block.

#[cfg(not(loom))]
mod inner {
    use lock_api::RawMutex;

    /// A value behind a lock.
    pub struct Lock<R, T>(lock_api::Mutex<R, T>);

    impl<R: RawMutex, T> Lock<R, T> {
        /// Locks `value` away.
        pub const fn new(value: T) -> Self {
            Lock(lock_api::Mutex::new(value))
        }

        /// Waits for the lock and runs `body` under it.
        #[inline]
        pub fn with<O>(&self, body: impl FnOnce(&mut T) -> O) -> O {
            body(&mut self.0.lock())
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
    }
}

pub use inner::Lock;

impl<R, T> core::fmt::Debug for Lock<R, T> {
    /// Says that it is a lock, without taking it.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Lock(..)")
    }
}

pub use lock_api::RawMutex;

/// The lock of choice where there is a standard library.
#[cfg(feature = "std")]
pub type StdMutex = parking_lot::RawMutex;
