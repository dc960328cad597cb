//! Lanes of threads.
//!
//! A lane is the number of a thread, which tells it from others, and below that the number of a shard. All threads begin
//! with the same shard. One that meets another there takes one of its own, the lowest that no thread has. It keeps it and
//! gives it back when it ends: so there are never more in use than threads that allocate at a time, and a thread that comes
//! later finds the blocks of those that went. If every shard is taken, those that meet share them, each the one of its
//! number.

extern crate std;

use core::cell::Cell;
use core::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use super::Locking;

/// The locks of choice where there is a standard library. All threads begin with one shard, and those that meet a thread
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
    static IS_SHARED: Cell<bool> = const { Cell::new(false) };
    static END: End = const { End };
}

/// Made when a thread takes a shard; dropped when the thread ends.
struct End;

impl Drop for End {
    fn drop(&mut self) {
        if !IS_SHARED.get() {
            give_back(LANE.get() & SHARD);
        }
    }
}

impl Locking for ThreadLanes {
    type Spin = parking_lot::RawMutex;
    type Sleep = parking_lot::RawMutex;

    #[inline]
    fn shard_hint() -> usize {
        match LANE.get() {
            0 => begin(),
            lane => lane,
        }
    }

    #[cold]
    fn contended(other: usize) {
        let own = Self::shard_hint();
        if own != other && may_move(own) {
            LANE.set(own | take().unwrap_or_else(|| share(own >> SHARD_BITS)));
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

/// Whether a thread may take a shard for itself, which it then gives back when it ends. Not if it has one: no other thread is
/// at home there. A thread that is ending keeps what it has.
fn may_move(own: usize) -> bool {
    own & SHARD == 0 && END.try_with(|_| ()).is_ok()
}

/// Takes the lowest shard that no thread has, if there is one.
fn take() -> Option<usize> {
    let lowest = |taken: u32| taken | (taken + 1);
    let before =
        TAKEN.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |taken| (taken != u32::MAX).then(|| lowest(taken)));
    before.ok().map(|taken| taken.trailing_ones() as usize)
}

/// The shard that a thread of a number shares with the one that has it: any but everybody's.
fn share(thread: usize) -> usize {
    IS_SHARED.set(true);
    1 + thread % SHARD
}

/// Leaves a shard to other threads, unless it is everybody's.
fn give_back(shard: usize) {
    if shard != 0 {
        TAKEN.fetch_and(!(1 << shard), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::{LANE, Ordering, SHARD, SHARD_BITS, TAKEN, std};
    use crate::sync::{Locking as _, ThreadLanes};

    fn shard() -> usize {
        ThreadLanes::shard_hint() & SHARD
    }

    fn another() -> usize {
        ThreadLanes::shard_hint() + (1 << SHARD_BITS)
    }

    /// One test, since all threads of a process share the shards.
    #[test]
    fn a_thread_takes_a_shard_of_its_own_once_and_gives_it_back_or_shares_one() {
        let meet = || {
            assert_eq!(shard(), 0);
            ThreadLanes::contended(ThreadLanes::shard_hint());
            assert_eq!(shard(), 0, "it met nobody but itself");
            ThreadLanes::contended(another());
            let first = shard();
            ThreadLanes::contended(another());
            assert!(first != 0 && shard() == first, "what it has for itself it keeps");
            first
        };
        let first = std::thread::spawn(meet).join().expect("no panic");
        assert_eq!(std::thread::spawn(meet).join().expect("no panic"), first, "whoever comes later takes the same");
        let taken = TAKEN.swap(u32::MAX, Ordering::Relaxed);
        let late = || {
            ThreadLanes::contended(another());
            shard()
        };
        let [one, other] = [(); 2].map(|()| std::thread::spawn(late).join().expect("no panic"));
        assert!(one != 0 && other != 0 && one != other, "threads that find none spread over those of others");
        assert_eq!(TAKEN.swap(taken, Ordering::Relaxed), u32::MAX, "and leave them to those when they end");
        assert_eq!(LANE.get(), 0, "this thread never allocated");
    }
}
