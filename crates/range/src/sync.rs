//! Atomics, all in one place: the ones of the machine, or those of the model checker under `cfg(loom)`. On machines
//! without atomics of 64 bits a library provides them, with short locks inside.

#[cfg(all(not(loom), target_has_atomic = "64"))]
pub(crate) use core::sync::atomic::AtomicU64;
#[cfg(not(loom))]
pub(crate) use core::sync::atomic::{AtomicU32, Ordering};
#[cfg(all(not(loom), not(target_has_atomic = "64")))]
pub(crate) use portable_atomic::AtomicU64;

#[cfg(loom)]
pub(crate) use modelled::{AtomicU32, AtomicU64, Ordering};

/// A number beside what readers see: only the thread that has the arena accesses it. Never modelled, because it takes part
/// in no protocol; atomic because it lies in what threads share.
pub(crate) use core::sync::atomic::AtomicU32 as WriterCell;

/// Loom looks for other orders only where an access follows one of another thread. Of an atomic it remembers one access,
/// and a writer that loads before it stores hides what readers did. So every load also touches a second atomic, in a way
/// that depends on all others.
#[cfg(loom)]
mod modelled {
    pub(crate) use loom::sync::atomic::Ordering;

    macro_rules! modelled {
        ($($name:ident: $number:ty),*) => { $(
            #[derive(Debug)]
            pub(crate) struct $name {
                value: loom::sync::atomic::$name,
                touched: loom::sync::atomic::AtomicUsize,
            }

            impl $name {
                pub(crate) fn new(value: $number) -> Self {
                    let touched = loom::sync::atomic::AtomicUsize::new(0);
                    $name { value: loom::sync::atomic::$name::new(value), touched }
                }

                pub(crate) fn load(&self, ordering: Ordering) -> $number {
                    self.touched.fetch_add(0, Ordering::Relaxed);
                    self.value.load(ordering)
                }

                pub(crate) fn store(&self, value: $number, ordering: Ordering) {
                    self.value.store(value, ordering);
                }

                pub(crate) fn fetch_or(&self, bits: $number, ordering: Ordering) -> $number {
                    self.value.fetch_or(bits, ordering)
                }

                pub(crate) fn fetch_and(&self, bits: $number, ordering: Ordering) -> $number {
                    self.value.fetch_and(bits, ordering)
                }
            }
        )* };
    }

    modelled!(AtomicU32: u32, AtomicU64: u64);
}
