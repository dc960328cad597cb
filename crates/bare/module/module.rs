//! A module: `build.rs` compiles it to an object, and the kernel loads that.
#![no_std]
#![allow(missing_docs, reason = "an example of a module, not a library")]

use core::sync::atomic::{AtomicU64, Ordering};

unsafe extern "C" {
    /// Tells the kernel a number.
    safe fn kernel_note(value: u64);
}

/// Written by [`init_module`] and then sealed.
#[unsafe(no_mangle)]
#[unsafe(link_section = ".data..ro_after_init")]
static SEALED: AtomicU64 = AtomicU64::new(0);

/// Writable.
static CALLS: AtomicU64 = AtomicU64::new(0);

/// Constants.
static TENS: [u64; 4] = [0, 10, 20, 30];

#[unsafe(no_mangle)]
#[unsafe(link_section = ".init.text")]
extern "C" fn init_module(value: u64) -> u64 {
    SEALED.store(value, Ordering::Relaxed);
    kernel_note(value);
    0
}

#[unsafe(no_mangle)]
extern "C" fn module_sum(value: u64) -> u64 {
    let calls = CALLS.fetch_add(1, Ordering::Relaxed);
    let ten = TENS.get(calls as usize + 3).copied().unwrap_or(0);
    SEALED.load(Ordering::Relaxed) + ten + value
}

#[unsafe(no_mangle)]
extern "C" fn cleanup_module() -> u64 {
    kernel_note(98 + CALLS.load(Ordering::Relaxed));
    0
}
