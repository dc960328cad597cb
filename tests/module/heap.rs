//! The heap of this program: it counts what one thread takes, and refuses what the thread says.

#![allow(unsafe_code, reason = "a global allocator is an unsafe trait")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

struct Counted;

#[global_allocator]
static HEAP: Counted = Counted;

thread_local! {
    /// Requests of this thread count, and may be refused.
    static IS_ARMED: Cell<bool> = const { Cell::new(false) };
    static REQUESTS: Cell<u64> = const { Cell::new(0) };
    /// The number of the first request that is refused.
    static REFUSED_FROM: Cell<u64> = const { Cell::new(u64::MAX) };
    static LIVE: Cell<i64> = const { Cell::new(0) };
    static PEAK: Cell<i64> = const { Cell::new(0) };
}

/// What a piece of code did with the heap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Used {
    pub(crate) requests: u64,
    /// Most bytes at a time.
    pub(crate) peak: i64,
    /// Bytes that it left.
    pub(crate) left: i64,
}

/// Runs code whose requests from number `refused_from` on are refused.
pub(crate) fn armed<O>(refused_from: u64, body: impl FnOnce() -> O) -> (O, Used) {
    REQUESTS.set(0);
    REFUSED_FROM.set(refused_from);
    LIVE.set(0);
    PEAK.set(0);
    let outcome = switched(true, body);
    (outcome, Used { requests: REQUESTS.get(), peak: PEAK.get(), left: LIVE.get() })
}

/// Runs code of the test within code that counts.
pub(crate) fn exempt<O>(body: impl FnOnce() -> O) -> O {
    switched(false, body)
}

fn switched<O>(is_armed: bool, body: impl FnOnce() -> O) -> O {
    struct Restore(bool);
    impl Drop for Restore {
        fn drop(&mut self) {
            IS_ARMED.set(self.0);
        }
    }
    let _restore = Restore(IS_ARMED.replace(is_armed));
    body()
}

fn is_refused() -> bool {
    IS_ARMED.get() && REQUESTS.replace(REQUESTS.get() + 1) >= REFUSED_FROM.get()
}

fn count(bytes: usize, sign: i64) {
    if IS_ARMED.get() {
        LIVE.set(LIVE.get() + sign * i64::try_from(bytes).unwrap_or(i64::MAX));
        PEAK.set(PEAK.get().max(LIVE.get()));
    }
}

// SAFETY: every call is passed on to the system's allocator or refused, which the trait allows.
unsafe impl GlobalAlloc for Counted {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if is_refused() {
            return std::ptr::null_mut();
        }
        count(layout.size(), 1);
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        count(layout.size(), -1);
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if is_refused() {
            return std::ptr::null_mut();
        }
        count(layout.size(), -1);
        count(size, 1);
        // SAFETY: the caller's promise.
        unsafe { System.realloc(block, layout, size) }
    }
}
