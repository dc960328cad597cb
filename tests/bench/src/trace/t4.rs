//! T4: T1 on two threads that share the allocator, and the same load on one thread, and on one a processor.

use super::{Plan, t1};

pub(super) const PLAN: Plan = Plan {
    name: "T4",
    about: "T1 on 2 threads, each with 5,000 live programs and 100,000 replacements",
    threads: 2,
    live: 5_000,
    steps: 100_000,
    ..t1::PLAN
};

pub(super) const ONE_THREAD: Plan =
    Plan { name: "T4-1", about: "the load of one thread of T4 alone", threads: 1, ..PLAN };

/// Where there are more than two.
pub(super) fn all_processors() -> Option<Plan> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    (threads > 2).then_some(Plan {
        name: "T4-all",
        about: "T4 on as many threads as there are processors",
        threads,
        ..PLAN
    })
}
