//! Bytes of frames and of extents: the accesses of `memory.rs`, and how extents are cut for them.

use core::ops::Range;
use core::ptr;

use execmem_types::{Extent, PageSize, Trap};

use super::frames::{SMALL, bytes_of};

/// Pieces of `page` bytes; the last may be shorter.
pub(crate) fn parts(extent: Extent, page: PageSize) -> impl Iterator<Item = Extent> {
    let offsets = (0..extent.len()).step_by(page.bytes() as usize);
    offsets.filter_map(move |offset| extent.part(offset, page.bytes().min(extent.len() - offset)))
}

/// Pieces that lie in one small page each.
pub(crate) fn pages(extent: Extent) -> impl Iterator<Item = Extent> {
    let mut rest = Some(extent);
    core::iter::from_fn(move || {
        let whole = rest?;
        let len = (SMALL.bytes() - whole.start() % SMALL.bytes()).min(whole.len());
        rest = whole.part(len, whole.len() - len);
        whole.part(0, len)
    })
}

/// Where a part of an extent that starts at `start` stands in its bytes.
pub(crate) fn range(part: Extent, start: u64) -> Range<usize> {
    let offset = (part.start() - start) as usize;
    offset..offset + part.len() as usize
}

/// Copies bytes out of a frame.
pub(crate) fn copy_out(physical: u64, to: &mut [u8]) {
    // SAFETY: the map of all memory shows the frame, and callers stay within it.
    unsafe { ptr::copy_nonoverlapping(bytes_of(physical), to.as_mut_ptr(), to.len()) };
}

/// Copies a small frame to another.
pub(crate) fn copy_frame(from: u64, to: u64) {
    // SAFETY: the map of all memory shows both, and the caller owns them.
    unsafe { ptr::copy_nonoverlapping(bytes_of(from), bytes_of(to), SMALL.bytes() as usize) };
}

/// Copies bytes in. Aligned words are one store each: processors execute the old one or the new.
pub(crate) fn copy_in(to: *mut u8, bytes: &[u8]) {
    let is_aligned = (to as usize).is_multiple_of(8);
    let (words, rest) = if is_aligned { bytes.as_chunks::<8>() } else { (&[][..], bytes) };
    for (index, word) in words.iter().enumerate() {
        // SAFETY: the caller has as many bytes there as it passes, and the address is a multiple of eight.
        unsafe { to.cast::<u64>().wrapping_add(index).write_volatile(u64::from_ne_bytes(*word)) };
    }
    copy_few(to.wrapping_add(8 * words.len()), rest);
}

fn copy_few(to: *mut u8, bytes: &[u8]) {
    let is_aligned = (to as usize).is_multiple_of(bytes.len().max(1));
    match *bytes {
        // SAFETY: the caller has as many bytes there, and the address is a multiple of their number.
        [a, b, c, d] if is_aligned => unsafe {
            to.cast::<u32>().write_volatile(u32::from_ne_bytes([a, b, c, d]));
        },
        // SAFETY: the same.
        [a, b] if is_aligned => unsafe { to.cast::<u16>().write_volatile(u16::from_ne_bytes([a, b])) },
        _ => {
            for (index, byte) in bytes.iter().enumerate() {
                // SAFETY: the caller has as many bytes there as it passes.
                unsafe { to.wrapping_add(index).write_volatile(*byte) };
            }
        }
    }
}

/// Stores the bytes of an extent that stand there already.
pub(crate) fn store_again(to: *mut u8, extent: Extent) {
    for index in 0..extent.len() as usize {
        let byte = to.wrapping_add(index);
        // SAFETY: the caller has the bytes of the extent there.
        let value = unsafe { byte.read_volatile() };
        // SAFETY: the same.
        unsafe { byte.write_volatile(value) };
    }
}

/// Fills memory that stands at `extent` for the engine.
pub(crate) fn fill(to: *mut u8, extent: Extent, pattern: Trap) {
    let mut at = 0;
    while at < extent.len() as usize {
        let address = extent.start() + at as u64;
        let rest = extent.len() as usize - at;
        let words = rest / 8;
        if (to as usize + at).is_multiple_of(8) && address.is_multiple_of(4) && words > 0 {
            let phase = u64::from(u32::from_ne_bytes(pattern.phase(address)));
            // SAFETY: the caller has the bytes of the extent there, and the address is a multiple of eight.
            let to = unsafe { core::slice::from_raw_parts_mut(to.wrapping_add(at).cast::<u64>(), words) };
            to.fill(phase << 32 | phase);
            at += 8 * words;
        } else {
            // SAFETY: the caller has the bytes of the extent there.
            unsafe { to.wrapping_add(at).write_volatile(pattern.at(address)) };
            at += 1;
        }
    }
}
