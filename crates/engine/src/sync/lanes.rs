//! Lanes of threads.
//!
//! A lane is the number of a thread, which tells it from others, and below that the number of a shard. All threads begin
//! with the same shard. One that meets another there takes one of its own, the lowest that no thread has, and gives it
//! back when it ends: so there are never more in use than threads that allocate at a time, and whoever comes later finds
//! the blocks of those who went.

extern crate std;

use core::cell::Cell;
use core::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use super::Locking;

/// The locks of choice where there is a standard library. All threads begin with one shard, and those that meet somebody
/// allocating there get one of their own; so a program that never allocates from two threads at once uses one.
#[derive(Debug)]
pub struct ThreadLanes;

/// Bits of a lane that say which shard: all of them are one set of 32 bits.
const SHARD_BITS: u32 = 5;
const SHARD: usize = (1 << SHARD_BITS) - 1;

/// Not atomics of the protocols: only speed depends on them.
static NEXT_THREAD: AtomicUsize = AtomicUsize::new(1);

/// Bit `n` is set while a thread has shard `n` for itself. Number 0 is everybody's.
static TAKEN: AtomicU32 = AtomicU32::new(1);

std::thread_local! {
    static LANE: Cell<usize> = const { Cell::new(0) };
    static END: End = const { End };
}

/// Made when a thread takes a shard; dropped when the thread ends.
struct End;

impl Drop for End {
    fn drop(&mut self) {
        give_back(LANE.get() & SHARD);
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
        if own != other && END.try_with(|_| ()).is_ok() {
            LANE.set(own & !SHARD | take());
            give_back(own & SHARD);
        }
    }
}

/// Numbers a thread.
#[cold]
fn begin() -> usize {
    let lane = NEXT_THREAD.fetch_add(1, Ordering::Relaxed) << SHARD_BITS;
    LANE.set(lane);
    lane
}

/// Takes the lowest shard that no thread has. Everybody's if there is none.
fn take() -> usize {
    let lowest = |taken: u32| taken | (taken + 1);
    let before =
        TAKEN.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |taken| (taken != u32::MAX).then(|| lowest(taken)));
    before.map_or(0, |taken| taken.trailing_ones() as usize)
}

/// Leaves a shard to other threads, unless it is everybody's.
fn give_back(shard: usize) {
    if shard != 0 {
        TAKEN.fetch_and(!(1 << shard), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::{LANE, SHARD, SHARD_BITS, std};
    use crate::sync::{Locking as _, ThreadLanes};

    fn shard() -> usize {
        ThreadLanes::lane() & SHARD
    }

    #[test]
    fn a_thread_takes_a_shard_of_its_own_when_it_meets_another_and_gives_it_back() {
        let run = || {
            assert_eq!(shard(), 0);
            ThreadLanes::met(ThreadLanes::lane());
            assert_eq!(shard(), 0, "it met nobody but itself");
            ThreadLanes::met(ThreadLanes::lane() + (1 << SHARD_BITS));
            let first = shard();
            ThreadLanes::met(ThreadLanes::lane() + (1 << SHARD_BITS));
            assert!(first != 0 && shard() != first);
            first
        };
        let first = std::thread::spawn(run).join().expect("no panic");
        assert_eq!(std::thread::spawn(run).join().expect("no panic"), first, "whoever comes later takes the same");
        assert_eq!(LANE.get(), 0, "this thread never allocated");
    }
}
