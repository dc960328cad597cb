//! Accesses that may fault: what the handler of exceptions does about them.
//!
//! Each access is the first instruction of a function without a frame. If it raises an exception, or the first instruction
//! of code that is called does, the handler returns from that function in its place and notes that it did.

use core::sync::atomic::{AtomicBool, Ordering};

use super::arch::{self, Frame};
use super::breakpoints;
use super::processors::own_number;

/// Whether a processor is making such an access, and whether it faulted.
static IS_TRYING: [AtomicBool; 2] = [const { AtomicBool::new(false) }; 2];
static HAS_FAULTED: [AtomicBool; 2] = [const { AtomicBool::new(false) }; 2];

/// Goes on at the place that a breakpoint leads to, or ends an access that raised an exception. False if it is neither.
pub(crate) fn survive(frame: &mut Frame) -> bool {
    if let Some(leads_to) = frame.breakpoint().and_then(breakpoints::hit) {
        frame.go_on(leads_to);
        return true;
    }
    let is_trying = IS_TRYING[own_number()].swap(false, Ordering::Relaxed);
    if is_trying {
        HAS_FAULTED[own_number()].store(true, Ordering::Relaxed);
        frame.return_from_function();
    }
    is_trying
}

/// Makes an access. `None` if it faulted.
fn attempt<T>(access: impl FnOnce() -> T) -> Option<T> {
    let number = own_number();
    HAS_FAULTED[number].store(false, Ordering::Relaxed);
    IS_TRYING[number].store(true, Ordering::Relaxed);
    let result = access();
    IS_TRYING[number].store(false, Ordering::Relaxed);
    (!HAS_FAULTED[number].load(Ordering::Relaxed)).then_some(result)
}

/// Loads 1, 2, 4 or 8 bytes.
pub(crate) fn load(address: u64, bytes: &mut [u8]) -> Option<()> {
    let load = match bytes.len() {
        1 => arch::load_1,
        2 => arch::load_2,
        4 => arch::load_4,
        _ => arch::load_8,
    };
    // SAFETY: the function loads, or ends with a fault; what is loaded may be anything.
    let word = attempt(|| unsafe { load(address) })?.to_le_bytes();
    let len = bytes.len();
    bytes.copy_from_slice(&word[..len]);
    Some(())
}

/// Stores a byte.
pub(crate) fn store(address: u64, byte: u8) -> Option<()> {
    // SAFETY: callers name memory under test, and no Rust object is there.
    attempt(|| unsafe { arch::store_1(address, byte) })
}

/// Calls code, and returns what it returns.
///
/// # Safety
///
/// It is a function that takes and returns a number, or its first instruction raises an exception.
pub(crate) unsafe fn call(address: u64, argument: u64) -> Option<u64> {
    // SAFETY: the caller vouches for the code, and the handler returns if there is none.
    attempt(|| unsafe { core::mem::transmute::<*const (), extern "C" fn(u64) -> u64>(address as *const ())(argument) })
}
