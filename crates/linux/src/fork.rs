//! What a forked process is told and what it must not inherit: a mark that tells it from the process before, and a gate
//! that keeps forks away while a descriptor is open or a writable view is about to be made private.
#![expect(unsafe_code, reason = "maps the page of the mark, and registers handlers with the C library")]

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};

use rustix::io::Errno;
use rustix::mm::{Advice, MapFlags, ProtFlags};
use rustix::thread::futex;

use crate::auxv::page_bytes;

/// Tells the process that made something from those forked from it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mark {
    cell: &'static AtomicU32,
    value: u32,
}

/// Where the page of the marks is; 0 until the first is made. Never unmapped.
static PAGE: AtomicUsize = AtomicUsize::new(0);

/// The last mark of this process or one it descends from.
static LAST: AtomicU32 = AtomicU32::new(0);

impl Mark {
    /// The mark of this process: one word of a page that the kernel wipes in every child, however it is forked.
    pub(crate) fn of_this_process() -> Result<Self, Errno> {
        let cell = cell()?;
        let seen = cell.load(Ordering::Relaxed);
        if seen != 0 {
            return Ok(Mark { cell, value: seen });
        }
        let fresh = LAST.fetch_add(1, Ordering::Relaxed).wrapping_add(1).max(1);
        let value = match cell.compare_exchange(0, fresh, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => fresh,
            Err(other) => other,
        };
        Ok(Mark { cell, value })
    }

    /// Whether this is the process that the mark was made in.
    #[inline]
    pub(crate) fn is_here(self) -> bool {
        self.cell.load(Ordering::Relaxed) == self.value
    }
}

/// The word of the marks.
fn cell() -> Result<&'static AtomicU32, Errno> {
    let mut page = PAGE.load(Ordering::Acquire);
    if page == 0 {
        let fresh = wiped_page()?;
        page = match PAGE.compare_exchange(0, fresh, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => fresh,
            Err(other) => {
                // SAFETY: the page was mapped just now and is known to no other code.
                unsafe { rustix::mm::munmap(std::ptr::with_exposed_provenance_mut(fresh), page_bytes()) }?;
                other
            }
        };
    }
    // SAFETY: the page is mapped readable and writable and is never unmapped; it is accessed as this word only, whose
    // alignment a page has.
    Ok(unsafe { AtomicU32::from_ptr(std::ptr::with_exposed_provenance_mut(page)) })
}

/// A fresh page that reads as zero in every process forked from this one.
fn wiped_page() -> Result<usize, Errno> {
    let rights = ProtFlags::READ | ProtFlags::WRITE;
    // SAFETY: without MAP_FIXED, and with a null hint, mmap(2) chooses addresses that nothing uses.
    let page = unsafe { rustix::mm::mmap_anonymous(std::ptr::null_mut(), page_bytes(), rights, MapFlags::PRIVATE) }?;
    // SAFETY: MADV_WIPEONFORK (madvise(2), since Linux 4.14) changes nothing in this process.
    let wiped = unsafe { rustix::mm::madvise(page, page_bytes(), Advice::LinuxWipeOnFork) };
    if let Err(errno) = wiped {
        // SAFETY: the page was mapped just now and is known to no other code.
        unsafe { rustix::mm::munmap(page, page_bytes()) }?;
        return Err(errno);
    }
    Ok(page.expose_provenance())
}

/// What is at the gate: threads that keep forks away in the low half, forks that are under way in the high half.
static GATE: AtomicU32 = AtomicU32::new(0);
const FORK: u32 = 1 << 16;
const KEEPERS: u32 = FORK - 1;

thread_local! {
    /// How often this thread keeps forks away, so that a fork from a signal handler does not wait for itself.
    static KEPT: Cell<u32> = const { Cell::new(0) };
}

/// No process is forked by the C library while it lives (`fork` waits, `vfork` and `clone` know nothing of it).
#[derive(Debug)]
pub(crate) struct NoFork(());

/// Keeps forks away. Waits for those that are under way, unless they wait for this thread.
pub(crate) fn keep_away() -> NoFork {
    loop {
        let seen = GATE.load(Ordering::Relaxed);
        let may_pass = seen < FORK || KEPT.get() > 0;
        if !may_pass || seen & KEEPERS == KEEPERS {
            wait(seen);
        } else if GATE.compare_exchange_weak(seen, seen + 1, Ordering::Acquire, Ordering::Relaxed).is_ok() {
            KEPT.set(KEPT.get() + 1);
            return NoFork(());
        }
    }
}

impl Drop for NoFork {
    fn drop(&mut self) {
        KEPT.set(KEPT.get() - 1);
        let before = GATE.fetch_sub(1, Ordering::Release);
        if before >= FORK || before == KEEPERS {
            wake();
        }
    }
}

/// Waits until the gate is not as it was seen, more or less.
fn wait(seen: u32) {
    if futex::wait(&GATE, futex::Flags::PRIVATE, seen, None).is_err() {
        std::thread::yield_now();
    }
}

fn wake() {
    // Refused, it leaves the threads that wait to the next change.
    let _ = futex::wake(&GATE, futex::Flags::PRIVATE, KEEPERS);
}

/// Makes `fork` stop at the gate from now on. Handlers that two threads register at once are as good as one.
pub(crate) fn register() -> Result<(), Errno> {
    static IS_REGISTERED: AtomicBool = AtomicBool::new(false);
    if cfg!(feature = "fork-handlers") && !IS_REGISTERED.load(Ordering::Acquire) {
        // SAFETY: the handlers are functions of this crate, which pthread_atfork(3) takes back if it is unloaded; they
        // touch one static word and one word of the thread, and call nothing but futex(2).
        let outcome = unsafe { libc::pthread_atfork(Some(before_fork), Some(in_parent), Some(in_child)) };
        if outcome != 0 {
            return Err(Errno::from_raw_os_error(outcome));
        }
        IS_REGISTERED.store(true, Ordering::Release);
    }
    Ok(())
}

extern "C" fn before_fork() {
    GATE.fetch_add(FORK, Ordering::Acquire);
    loop {
        let seen = GATE.load(Ordering::Acquire);
        if seen & KEEPERS <= KEPT.get() {
            break;
        }
        wait(seen);
    }
}

extern "C" fn in_parent() {
    GATE.fetch_sub(FORK, Ordering::Release);
    wake();
}

/// The only thread that a child has forked it.
extern "C" fn in_child() {
    GATE.store(KEPT.get(), Ordering::Release);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_has_one_mark() {
        let marks = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| Mark::of_this_process().expect("a page"))).collect();
            threads.into_iter().map(|thread| thread.join().expect("no panic")).collect::<Vec<_>>()
        });
        assert!(marks.iter().all(|mark| mark.is_here() && mark.value == marks[0].value));
        let other = Mark { value: marks[0].value + 1, ..marks[0] };
        assert!(!other.is_here());
    }

    #[test]
    fn a_fork_waits_for_those_who_keep_it_away_and_not_for_its_own_thread() {
        let kept = keep_away();
        std::thread::scope(|scope| {
            let fork = scope.spawn(|| {
                before_fork();
                in_parent();
            });
            while GATE.load(Ordering::Relaxed) < FORK {
                std::thread::yield_now();
            }
            assert!(!fork.is_finished());
            drop(kept);
            fork.join().expect("no panic");
        });
        let _kept = keep_away();
        before_fork();
        drop(keep_away());
        in_parent();
    }
}
