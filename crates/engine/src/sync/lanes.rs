//! Lanes of threads.
//!
//! A lane is the number of a thread, which tells it from others, and below that the number of its *memory*, which is what
//! engines divide by. All threads begin with the same memory. One that meets another there takes one of its own, the
//! lowest that no thread has, and gives it back when it ends: so there are never more than there are threads that
//! allocate at a time, and whoever comes later finds the blocks of those who went.

extern crate std;

use core::cell::Cell;
use core::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use super::Locking;

/// The locks of choice where there is a standard library. All threads begin on one lane's memory, and those that meet
/// somebody allocating there get some of their own; so a program that never allocates from two threads at once uses one.
#[derive(Debug)]
pub struct ThreadLanes;

/// Bits of a lane that say which memory, of a set in one word.
const MEMORY_BITS: u32 = 5;
const MEMORY: usize = (1 << MEMORY_BITS) - 1;

/// Not atomics of the protocols: only speed depends on them.
static NEXT_THREAD: AtomicUsize = AtomicUsize::new(1);

/// Bit `n` is set while a thread has memory `n` for itself. That of number 0 is everybody's.
static TAKEN: AtomicU32 = AtomicU32::new(1);

std::thread_local! {
    static LANE: Cell<usize> = const { Cell::new(0) };
    static OWN: Own = const { Own(Cell::new(0)) };
}

/// The memory that a thread has for itself; 0 for none.
struct Own(Cell<usize>);

impl Drop for Own {
    fn drop(&mut self) {
        give_back(self.0.get());
    }
}

impl Locking for ThreadLanes {
    type Mutex = parking_lot::RawMutex;

    #[inline]
    fn lane() -> usize {
        match LANE.get() {
            0 => begin(),
            lane => lane,
        }
    }

    #[cold]
    fn met(other: usize) {
        let own = Self::lane();
        // A thread that is ending keeps what it has.
        let memory = if own == other { None } else { OWN.try_with(take_another).ok() };
        if let Some(memory) = memory {
            LANE.set(own & !MEMORY | memory);
        }
    }
}

/// Numbers a thread.
#[cold]
fn begin() -> usize {
    let lane = NEXT_THREAD.fetch_add(1, Ordering::Relaxed) << MEMORY_BITS;
    LANE.set(lane);
    lane
}

/// Takes the lowest memory that no thread has, and gives back what the thread had. Everybody's if there is none.
fn take_another(own: &Own) -> usize {
    let lowest = |taken: u32| taken | (taken + 1);
    let before =
        TAKEN.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |taken| (taken != u32::MAX).then(|| lowest(taken)));
    let memory = before.map_or(0, |taken| taken.trailing_ones() as usize);
    give_back(own.0.replace(memory));
    memory
}

fn give_back(memory: usize) {
    if memory != 0 {
        TAKEN.fetch_and(!(1 << memory), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::{LANE, MEMORY, MEMORY_BITS, std};
    use crate::sync::{Locking as _, ThreadLanes};

    fn memory() -> usize {
        ThreadLanes::lane() & MEMORY
    }

    #[test]
    fn a_thread_takes_memory_of_its_own_when_it_meets_another_and_gives_it_back() {
        let run = || {
            assert_eq!(memory(), 0);
            ThreadLanes::met(ThreadLanes::lane());
            assert_eq!(memory(), 0, "it met nobody but itself");
            ThreadLanes::met(ThreadLanes::lane() + (1 << MEMORY_BITS));
            let first = memory();
            ThreadLanes::met(ThreadLanes::lane() + (1 << MEMORY_BITS));
            assert!(first != 0 && memory() != first);
            first
        };
        let first = std::thread::spawn(run).join().expect("no panic");
        assert_eq!(std::thread::spawn(run).join().expect("no panic"), first, "whoever comes later takes the same");
        assert_eq!(LANE.get(), 0, "this thread never allocated");
    }
}
