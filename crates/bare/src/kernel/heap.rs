//! The heap of the kernel: a few MiB of its image, counted, and refused on request.

use core::alloc::{GlobalAlloc, Layout};
use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use linked_list_allocator::Heap;

use super::locks::Guarded;

const BYTES: usize = 4 << 20;

/// The heap, and what is counted.
#[derive(Debug)]
struct Counted;

#[global_allocator]
static ALLOCATOR: Counted = Counted;

static HEAP: Guarded<Heap> = Guarded::new(Heap::empty());
static MEMORY: Memory = Memory([const { AtomicU64::new(0) }; BYTES / 8]);
static IN_USE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);
/// Requests that are granted before all others are refused.
static LEFT: AtomicUsize = AtomicUsize::new(usize::MAX);

/// What the heap is made of.
#[repr(align(4096))]
struct Memory([AtomicU64; BYTES / 8]);

/// Makes the heap usable.
pub(crate) fn start() {
    // SAFETY: the memory is used for nothing else, and this is called once.
    HEAP.with(|heap| unsafe { heap.init(MEMORY.0.as_ptr().cast_mut().cast(), BYTES) });
}

/// Bytes that are allocated.
pub(crate) fn in_use() -> usize {
    IN_USE.load(Ordering::Relaxed)
}

/// The most bytes that were allocated at a time since this was last asked.
pub(crate) fn take_peak() -> usize {
    PEAK.swap(in_use(), Ordering::Relaxed)
}

/// Refuses every request after the next `after`; none any more with `None`.
pub(crate) fn run_out(after: Option<usize>) {
    LEFT.store(after.unwrap_or(usize::MAX), Ordering::Relaxed);
}

// SAFETY: memory comes from a heap under a lock, which hands out each byte once.
unsafe impl GlobalAlloc for Counted {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let left = LEFT.load(Ordering::Relaxed);
        if left == 0 {
            return ptr::null_mut();
        }
        LEFT.store(left - usize::from(left != usize::MAX), Ordering::Relaxed);
        let found = HEAP.with(|heap| heap.allocate_first_fit(layout));
        found.map_or(ptr::null_mut(), |found| {
            let in_use = IN_USE.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
            PEAK.fetch_max(in_use, Ordering::Relaxed);
            found.as_ptr()
        })
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        IN_USE.fetch_sub(layout.size(), Ordering::Relaxed);
        let Some(memory) = NonNull::new(memory) else { return };
        // SAFETY: the caller returns what `alloc` gave for the same layout.
        HEAP.with(|heap| unsafe { heap.deallocate(memory, layout) });
    }
}
