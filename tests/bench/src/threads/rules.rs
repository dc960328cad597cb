//! Rules by which a thread chooses its shard.

use std::cell::Cell;

use execmem::sync::{Locking, ThreadLanes};

use super::clock::{Lock, count};

thread_local! {
    static NUMBER: Cell<usize> = const { Cell::new(0) };
}

/// Which of the simulated threads the calling one is.
pub(super) fn set_number(number: usize) {
    NUMBER.set(number);
}

/// All of them use one shard.
pub(super) struct One;

impl Locking for One {
    type Spin = Lock<true>;
    type Sleep = Lock<false>;

    fn shard_hint() -> usize {
        0
    }
}

/// Each uses the shard of its number, as processors of a kernel do.
pub(super) struct Each;

impl Locking for Each {
    type Spin = Lock<true>;
    type Sleep = Lock<false>;

    fn shard_hint() -> usize {
        NUMBER.get()
    }
}

/// The product's: it takes a shard for itself when it meets another thread.
pub(super) struct Product;

impl Locking for Product {
    type Spin = Lock<true>;
    type Sleep = Lock<false>;

    fn shard_hint() -> usize {
        ThreadLanes::shard_hint()
    }

    fn contended(other: usize) {
        count(|counts| counts.met += 1);
        ThreadLanes::contended(other);
    }
}
