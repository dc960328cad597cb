//! The heap of this program: it counts what is requested, and refuses what it is told to.

#![allow(unsafe_code, reason = "a global allocator is an unsafe trait")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use crate::sites;

/// The heap of the system, with a gate.
#[derive(Debug)]
pub(crate) struct Gated;

#[global_allocator]
static HEAP: Gated = Gated;

/// Which requests are refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refuse {
    /// None.
    Nothing,
    /// The one after so many.
    Once(u64),
    /// All after so many.
    From(u64),
}

thread_local! {
    /// Bytes that this thread has more than it freed, but for those of [`sites`].
    static LIVE: Cell<i64> = const { Cell::new(0) };
    /// Requests are counted, and may be refused.
    static IS_ARMED: Cell<bool> = const { Cell::new(false) };
    /// How many have been counted, and how many refused.
    static SEEN: Cell<u64> = const { Cell::new(0) };
    static REFUSED: Cell<u64> = const { Cell::new(0) };
    static PLAN: Cell<Refuse> = const { Cell::new(Refuse::Nothing) };
    /// Where the first refused request comes from is noted, which takes much stack.
    static ARE_NOTED: Cell<bool> = const { Cell::new(true) };
}

/// Begins to count at zero, and to refuse by a plan once [`armed`].
pub(crate) fn plan(plan: Refuse) {
    SEEN.set(0);
    REFUSED.set(0);
    PLAN.set(plan);
}

/// Notes no more where requests come from.
pub(crate) fn note_nothing() {
    ARE_NOTED.set(false);
}

/// Runs what is under test: its requests are counted and may be refused.
pub(crate) fn armed<O>(body: impl FnOnce() -> O) -> O {
    switched(true, body)
}

/// Runs what belongs to the test: nothing is counted or refused.
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

/// Requests that were counted.
pub(crate) fn seen() -> u64 {
    SEEN.get()
}

/// Requests that were refused.
pub(crate) fn refused() -> u64 {
    REFUSED.get()
}

/// Live bytes.
pub(crate) fn live() -> i64 {
    LIVE.get()
}

/// Runs `body` without counting what it leaves on the heap as live.
pub(crate) fn uncounted<O>(body: impl FnOnce() -> O) -> O {
    let before = live();
    let outcome = exempt(body);
    LIVE.set(before);
    outcome
}

fn is_refused() -> bool {
    if !IS_ARMED.get() {
        return false;
    }
    let number = SEEN.replace(SEEN.get() + 1);
    let is_refused = match PLAN.get() {
        Refuse::Nothing => false,
        Refuse::Once(nth) => number == nth,
        Refuse::From(nth) => number >= nth,
    };
    if is_refused && REFUSED.replace(REFUSED.get() + 1) == 0 && ARE_NOTED.get() {
        uncounted(sites::note);
    }
    is_refused
}

fn count(bytes: usize, sign: i64) {
    LIVE.set(LIVE.get() + sign * i64::try_from(bytes).unwrap_or(i64::MAX));
}

// SAFETY: every call is passed on to the system's allocator or refused, which the trait allows.
unsafe impl GlobalAlloc for Gated {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if is_refused() {
            return std::ptr::null_mut();
        }
        count(layout.size(), 1);
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if is_refused() {
            return std::ptr::null_mut();
        }
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
        if is_refused() {
            return std::ptr::null_mut();
        }
        count(layout.size(), -1);
        count(size, 1);
        // SAFETY: the caller's promise.
        unsafe { System.realloc(block, layout, size) }
    }
}
