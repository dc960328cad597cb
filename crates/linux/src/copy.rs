//! Copying bytes to and from memory that the compiler knows nothing of.
#![expect(unsafe_code, reason = "accesses memory by address: outside the alias view it would corrupt somebody else's")]

#[cfg(target_has_atomic = "64")]
use std::sync::atomic::AtomicU64;
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};

use execmem_types::Trap;

/// Copies bytes to memory. Four or eight bytes at a multiple of their number are one store: whoever reads or executes
/// them sees the old or the new.
///
/// # Safety
///
/// `to` must be valid for reads and writes of `bytes.len()` bytes for the whole call, and no Rust reference may point to
/// them.
#[inline]
pub(crate) unsafe fn write(to: *mut u8, bytes: &[u8]) {
    #[cfg(target_has_atomic = "64")]
    if let (Ok(word), true) = (bytes.try_into().map(u64::from_ne_bytes), to.addr().is_multiple_of(8)) {
        // SAFETY: eight bytes from `to` are valid, for which the caller vouches, and `to` is aligned.
        unsafe { AtomicU64::from_ptr(to.cast()) }.store(word, Ordering::Relaxed);
        return;
    }
    if let (Ok(word), true) = (bytes.try_into().map(u32::from_ne_bytes), to.addr().is_multiple_of(4)) {
        // SAFETY: four bytes from `to` are valid, for which the caller vouches, and `to` is aligned.
        unsafe { AtomicU32::from_ptr(to.cast()) }.store(word, Ordering::Relaxed);
        return;
    }
    #[cfg(target_arch = "x86_64")]
    // SAFETY: `rep movsb` reads `bytes.len()` bytes from a slice of that length and writes them from `to` on, for which
    // the caller vouches. The direction flag is clear on entry to an asm block (Rust reference, inline assembly).
    unsafe {
        core::arch::asm!(
            "rep movsb",
            inout("rcx") bytes.len() => _,
            inout("rsi") bytes.as_ptr() => _,
            inout("rdi") to => _,
            options(nostack, preserves_flags),
        );
    }
    #[cfg(not(target_arch = "x86_64"))]
    for (offset, byte) in bytes.iter().enumerate() {
        // SAFETY: `offset` is less than `bytes.len()`, so the byte is valid; an atomic needs no alignment of a byte, and
        // nobody accesses it other than atomically or by executing it.
        let cell = unsafe { AtomicU8::from_ptr(to.wrapping_add(offset)) };
        cell.store(*byte, Ordering::Relaxed);
    }
}

/// Fills memory with a pattern, in phase with `address`.
///
/// # Safety
///
/// As for [`write`], with `len` bytes.
#[inline]
pub(crate) unsafe fn fill(to: *mut u8, address: u64, len: usize, pattern: Trap) {
    #[cfg(target_arch = "x86_64")]
    if pattern.bytes().len() == 1 {
        // SAFETY: `rep stosb` writes `len` bytes from `to` on, for which the caller vouches.
        unsafe {
            core::arch::asm!(
                "rep stosb",
                inout("rcx") len => _,
                inout("rdi") to => _,
                in("al") pattern.at(address),
                options(nostack, preserves_flags),
            );
        }
        return;
    }
    let mut chunk = [0; 256];
    pattern.fill(address, &mut chunk);
    let mut done = 0;
    while done < len {
        // The pattern repeats every four bytes, so a chunk of 256 keeps its phase.
        let part = chunk.len().min(len - done);
        // SAFETY: `done + part` is at most `len`, for which the caller vouches.
        unsafe { write(to.wrapping_add(done), &chunk[..part]) };
        done += part;
    }
}

/// Copies bytes from memory.
///
/// # Safety
///
/// `from` must be valid for reads of `bytes.len()` bytes for the whole call, and no mutable reference may point to them.
#[inline]
pub(crate) unsafe fn read(from: *mut u8, bytes: &mut [u8]) {
    for (offset, byte) in bytes.iter_mut().enumerate() {
        // SAFETY: `offset` is less than `bytes.len()`, so the byte is valid; it is written atomically, or by
        // instructions the compiler does not see, and nothing here assumes its value.
        let cell = unsafe { AtomicU8::from_ptr(from.wrapping_add(offset)) };
        *byte = cell.load(Ordering::Relaxed);
    }
}
