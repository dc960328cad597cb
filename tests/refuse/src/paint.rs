//! How deep the stack goes: what lies below the caller's frame is painted before an operation, and looked at after it.

#![allow(unsafe_code, reason = "what lies below a frame has no name")]

use std::cell::Cell;

thread_local! {
    static IS_MEASURED: Cell<bool> = const { Cell::new(false) };
    static DEEPEST: Cell<usize> = const { Cell::new(0) };
}

/// Calls the product, and measures how deep that goes if it is asked to.
pub(crate) fn call<O>(body: impl FnOnce() -> O) -> O {
    if !IS_MEASURED.get() {
        return body();
    }
    let (outcome, bytes) = depth_of(body);
    DEEPEST.set(DEEPEST.get().max(bytes));
    outcome
}

/// Runs `body` and returns how deep its [calls](call) went.
pub(crate) fn deepest_of<O>(body: impl FnOnce() -> O) -> (O, usize) {
    DEEPEST.set(0);
    IS_MEASURED.set(true);
    let outcome = body();
    IS_MEASURED.set(false);
    (outcome, DEEPEST.get())
}

/// Bytes that are painted.
const DEPTH: usize = 64 << 10;
/// Bytes right below the caller that this file's own frames take. An operation that takes less counts as so many.
const MARGIN: usize = 512;
const PAINT: u64 = 0x5ac3_17e9_a4d2_60bf;

/// Runs `body` and returns how many bytes below the caller's frame were written to.
#[inline(never)]
fn depth_of<O>(body: impl FnOnce() -> O) -> (O, usize) {
    let here = 0_u64;
    let top = (&raw const here).addr() & !7;
    paint(top);
    let outcome = body();
    (outcome, touched(top))
}

/// The words that are painted, lowest first.
fn words(top: usize) -> impl Iterator<Item = *mut u64> {
    (top - DEPTH..top - MARGIN).step_by(8).map(std::ptr::with_exposed_provenance_mut)
}

#[inline(never)]
fn paint(top: usize) {
    for word in words(top) {
        // SAFETY: it is stack of this thread, which has more than that, and below every frame but those of this file's
        // functions, which end at the margin.
        unsafe { word.write_volatile(PAINT) };
    }
}

#[inline(never)]
fn touched(top: usize) -> usize {
    // SAFETY: as above, and it was painted.
    let lowest = words(top).find(|word| unsafe { word.read_volatile() } != PAINT);
    lowest.map_or(MARGIN, |word| top - word.addr())
}
