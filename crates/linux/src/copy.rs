//! Copying bytes to and from memory that the compiler knows nothing of.
#![expect(unsafe_code, reason = "accesses memory by address: outside the alias view it would corrupt somebody else's")]

#[cfg(target_has_atomic = "64")]
use std::sync::atomic::AtomicU64;
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};

use execmem_types::Trap;

/// Bytes that are asked for at once and then written: as many as a first-level cache holds beside other things.
const CHUNK: usize = 4096;

/// The shortest line of a processor's caches that is worth asking for.
const LINE: usize = 64;

/// Lines of a short function.
const FEW: usize = 4;

/// Copies bytes to memory. Four or eight bytes at a multiple of their number are one store: a thread that reads or executes
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
    for (part, offset) in bytes.chunks(CHUNK).zip((0..).step_by(CHUNK)) {
        prefetch(to.wrapping_add(offset), part.len());
        // SAFETY: the part has this offset in `bytes`, and so its bytes are valid from there on.
        unsafe { copy(to.wrapping_add(offset), part) };
    }
}

/// Fills memory with a pattern, in phase with `address`.
///
/// Tried and dropped: stores that pass the caches by (T1 of the bench takes 29 % longer), stores of 16 bytes for what is
/// short, other hints of the prefetch (no difference).
///
/// # Safety
///
/// As for [`write`], with `len` bytes.
#[inline]
pub(crate) unsafe fn fill(to: *mut u8, address: u64, len: usize, pattern: Trap) {
    for offset in (0..len).step_by(CHUNK) {
        let (to, len) = (to.wrapping_add(offset), CHUNK.min(len - offset));
        prefetch(to, len);
        // SAFETY: `offset + len` is at most the length that the caller vouches for.
        unsafe { repeat(to, address + offset as u64, len, pattern) };
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

/// Asks for the lines that are about to be written, at least one byte, all at once. Without that, every line is waited
/// for when its turn comes: a fill or copy of memory that is in no near cache takes twice as long.
///
/// The first few are asked for without counting: how many lines a short function has no processor can foresee.
#[inline]
fn prefetch(to: *mut u8, len: usize) {
    for line in 0..FEW {
        prefetch_line(to.wrapping_add((line * LINE).min(len - 1)));
    }
    for line in FEW..len.div_ceil(LINE) {
        prefetch_line(to.wrapping_add(line * LINE));
    }
}

/// Asks for the line that holds an address.
#[inline]
fn prefetch_line(at: *mut u8) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: SSE is part of x86-64, and a prefetch of any address has no effect but on caches (Intel SDM 2B,
    // PREFETCHh).
    unsafe {
        core::arch::x86_64::_mm_prefetch::<{ core::arch::x86_64::_MM_HINT_T0 }>(at.cast::<i8>());
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: a prefetch of any address has no effect but on caches (Arm ARM C6.2, PRFM).
    unsafe {
        core::arch::asm!("prfm pstl1keep, [{}]", in(reg) at, options(nostack, preserves_flags));
    }
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    let _ = at;
}

/// Copies bytes in order.
///
/// # Safety
///
/// As for [`write`].
#[inline]
unsafe fn copy(to: *mut u8, bytes: &[u8]) {
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
        // no thread accesses it other than atomically or by executing it.
        let cell = unsafe { AtomicU8::from_ptr(to.wrapping_add(offset)) };
        cell.store(*byte, Ordering::Relaxed);
    }
}

/// Fills memory with a pattern, in phase with `address`, in order.
///
/// # Safety
///
/// As for [`fill`].
#[inline]
unsafe fn repeat(to: *mut u8, address: u64, len: usize, pattern: Trap) {
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
    let mut piece = [0; 256];
    pattern.fill(address, &mut piece);
    for offset in (0..len).step_by(piece.len()) {
        // The pattern repeats every four bytes, so a piece of 256 keeps its phase.
        let part = &piece[..piece.len().min(len - offset)];
        // SAFETY: `offset + part.len()` is at most `len`, for which the caller vouches.
        unsafe { copy(to.wrapping_add(offset), part) };
    }
}
