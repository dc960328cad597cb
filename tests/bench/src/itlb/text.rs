//! Functions that are executed from their first to their last byte, and memory for them in pages of a chosen size.

use std::ffi::c_void;
use std::ptr::null_mut;
use std::slice;

use anyhow::{Result, ensure};
use execmem_linux::proc;
use rustix::mm::{Advice, MapFlags, MprotectFlags, ProtFlags, madvise, mmap_anonymous, mprotect, munmap};

use super::case::Layout;
use super::functions::Functions;
use crate::code::call;

pub(crate) const PAGE_BYTES: usize = 4 << 10;
pub(crate) const LARGE_BYTES: usize = 2 << 20;
const MADV_COLLAPSE: libc::c_int = 25;
const TRAP: u8 = 0xcc;

/// Functions in executable memory.
#[derive(Debug)]
pub(crate) struct Text {
    memory: Memory,
    entries: Vec<usize>,
}

impl Text {
    /// Places functions, and calls each once.
    pub(crate) fn new(functions: &Functions, layout: Layout) -> Result<Self> {
        let offsets = functions.offsets(layout);
        let len = functions.bytes(layout).next_multiple_of(LARGE_BYTES);
        let memory = Memory::new(len, layout.is_large(), |bytes| {
            bytes.fill(TRAP);
            for (index, offset) in offsets.iter().enumerate() {
                functions.write(index, &mut bytes[*offset..]);
            }
        })?;
        let start = memory.start.expose_provenance();
        let text = Text { memory, entries: offsets.into_iter().map(|offset| start + offset).collect() };
        let all: Vec<_> = (0..text.entries.len()).collect();
        let wrong = all.iter().filter(|index| text.sum(&[text.entries[**index]]) != functions.result(**index)).count();
        ensure!(wrong == 0, "{wrong} functions return something wrong");
        Ok(text)
    }

    /// Where functions start.
    pub(crate) fn addresses(&self, order: &[usize]) -> Vec<usize> {
        order.iter().map(|index| self.entries[*index]).collect()
    }

    /// Calls functions by their addresses, and sums what they return.
    pub(crate) fn sum(&self, addresses: &[usize]) -> u32 {
        // SAFETY: addresses of functions that were written before the memory became executable, and it is still there.
        addresses.iter().fold(0, |sum: u32, address| sum.wrapping_add(unsafe { call(*address) }))
    }

    /// Bytes that the kernel says are mapped in large pages.
    pub(crate) fn large_bytes(&self) -> Result<u64> {
        let start = self.memory.start.expose_provenance() as u64;
        let areas = proc::areas()?;
        Ok(areas.iter().filter(|area| area.extent.contains(start)).map(|area| area.large_bytes).sum())
    }
}

/// Memory of this process, aligned to large pages, that became executable after it was written.
#[derive(Debug)]
struct Memory {
    reserved: *mut c_void,
    reserved_len: usize,
    start: *mut u8,
}

impl Memory {
    /// `len` bytes, a multiple of [`LARGE_BYTES`], in large pages or in small ones.
    fn new(len: usize, is_large: bool, write: impl FnOnce(&mut [u8])) -> Result<Self> {
        let reserved_len = len + LARGE_BYTES;
        let rights = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: without a hint, the kernel places a mapping where nothing is.
        let reserved = unsafe { mmap_anonymous(null_mut(), reserved_len, rights, MapFlags::PRIVATE) }?;
        let start = reserved.map_addr(|address| address.next_multiple_of(LARGE_BYTES));
        let memory = Memory { reserved, reserved_len, start: start.cast() };
        let advice = if is_large { Advice::LinuxHugepage } else { Advice::LinuxNoHugepage };
        // SAFETY: a part of the mapping, which is ours; the advice does not change its content. A kernel without large
        // pages refuses it.
        let _ = unsafe { madvise(start, len, advice) };
        // SAFETY: the mapping is ours alone, initialised with zeroes, writable, and this is the only reference to it.
        write(unsafe { slice::from_raw_parts_mut(memory.start, len) });
        if is_large {
            // SAFETY: as above; collapsing changes neither content nor rights. What it made is counted later.
            let _ = unsafe { libc::madvise(start, len, MADV_COLLAPSE) };
        }
        // SAFETY: a part of the mapping, to which no reference is left.
        unsafe { mprotect(start, len, MprotectFlags::READ | MprotectFlags::EXEC) }?;
        Ok(memory)
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, and no processor executes what was in it any more.
        let _ = unsafe { munmap(self.reserved, self.reserved_len) };
    }
}
