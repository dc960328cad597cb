//! The heap of this program: it counts, so that a target can say how much an input may take.

#![allow(unsafe_code, reason = "a global allocator is an unsafe trait")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// The heap of the system, counted.
#[derive(Debug)]
struct Counted;

#[global_allocator]
static HEAP: Counted = Counted;

thread_local! {
    /// Bytes that this thread has more than it freed.
    static LIVE: Cell<i64> = const { Cell::new(0) };
    /// The most there have been.
    static PEAK: Cell<i64> = const { Cell::new(0) };
}

/// Runs `body`. Returns what it does, and how many bytes more than before this thread had at once.
pub(crate) fn peak<O>(body: impl FnOnce() -> O) -> (O, i64) {
    let before = LIVE.get();
    PEAK.set(before);
    let outcome = body();
    (outcome, PEAK.get() - before)
}

fn count(bytes: usize, sign: i64) {
    let live = LIVE.get() + sign * i64::try_from(bytes).unwrap_or(i64::MAX);
    LIVE.set(live);
    PEAK.set(PEAK.get().max(live));
}

// SAFETY: every call is passed on to the system's allocator.
unsafe impl GlobalAlloc for Counted {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 1);
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 1);
        // SAFETY: the caller's promise.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        count(layout.size(), -1);
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // Both are there while the bytes are copied.
        count(size, 1);
        count(layout.size(), -1);
        // SAFETY: the caller's promise.
        unsafe { System.realloc(block, layout, size) }
    }
}
