//! What is seen of a flush that another processor never learns of.

use core::sync::atomic::{AtomicBool, Ordering};

use execmem_types::{Backend as _, Extent, Mapping, Protection, Trap};

use crate::kernel::arch::MANAGED;
use crate::kernel::console::say;
use crate::kernel::frames::SMALL;
use crate::kernel::memory::KernelMemory;
use crate::kernel::{processors, traps};

/// Takes memory from the second processor while that stores to it, once with the flush lost and once as it should be.
pub(super) fn lost(memory: &KernelMemory) {
    assert!(stores_to_unmapped_memory(memory, true), "a flush that is lost shows");
    assert!(!stores_to_unmapped_memory(memory, false), "law 4");
    say!("lost flush: the other processor stores to unmapped memory, and with the flush it faults");
}

/// Whether the second processor could store to memory after it was unmapped.
fn stores_to_unmapped_memory(memory: &KernelMemory, loses_flushes: bool) -> bool {
    let (has_stored, is_unmapped, could) = (AtomicBool::new(false), AtomicBool::new(false), AtomicBool::new(false));
    let extent = Extent::new(MANAGED[0].start(), SMALL.bytes()).expect("a page");
    memory.map(&Mapping::new(extent, SMALL, Protection::ReadWrite, Trap::ZERO)).expect("it is absent");
    let ran = processors::together(
        &mut || {
            while !has_stored.load(Ordering::Acquire) {
                processors::relax();
            }
            processors::lose_flushes(loses_flushes);
            memory.unmap(extent).expect("it is mapped");
            processors::lose_flushes(false);
            is_unmapped.store(true, Ordering::Release);
        },
        &mut || {
            while !is_unmapped.load(Ordering::Acquire) {
                let done = traps::store(extent.start(), 1).is_some();
                has_stored.fetch_or(done, Ordering::Release);
            }
            could.store(traps::store(extent.start(), 2).is_some(), Ordering::Release);
        },
    );
    processors::flush_everything();
    ran && could.load(Ordering::Acquire)
}
