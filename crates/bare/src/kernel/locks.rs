//! Locks of this kernel.
//!
//! A processor that waits for one does what other processors ask of it meanwhile, so that the owner may wait for the waiter
//! to forget a translation.

use core::sync::atomic::{AtomicBool, Ordering};

use lock_api::{GuardSend, RawMutex};

use super::processors;

/// A lock that spins and leaves interrupts as they are.
#[derive(Debug)]
pub(crate) struct Spin(AtomicBool);

// SAFETY: of two processors that exchange `true` for `false`, one does; the other sees what the first wrote before its release.
unsafe impl RawMutex for Spin {
    const INIT: Self = Spin(AtomicBool::new(false));

    type GuardMarker = GuardSend;

    fn lock(&self) {
        while !self.try_lock() {
            processors::relax();
        }
    }

    fn try_lock(&self) -> bool {
        !self.0.swap(true, Ordering::Acquire)
    }

    unsafe fn unlock(&self) {
        self.0.store(false, Ordering::Release);
    }
}

/// A value behind a lock.
#[derive(Debug)]
pub(crate) struct Guarded<T>(lock_api::Mutex<Spin, T>);

impl<T> Guarded<T> {
    pub(crate) const fn new(value: T) -> Self {
        Guarded(lock_api::Mutex::from_raw(Spin::INIT, value))
    }

    /// Waits for the lock and runs `body` under it.
    pub(crate) fn with<O>(&self, body: impl FnOnce(&mut T) -> O) -> O {
        body(&mut self.0.lock())
    }
}
