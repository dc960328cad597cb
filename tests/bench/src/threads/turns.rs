//! Which thread goes next: the one whose clock is behind all others.

use std::ops::Range;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use super::clock;

/// The clocks of threads that wait for their turn, and of the one that goes.
#[derive(Debug)]
pub(super) struct Turns {
    /// `None` of a thread that is done.
    clocks_ns: Mutex<Vec<Option<u64>>>,
    changed: Vec<Condvar>,
}

impl Turns {
    /// Of so many threads, all clocks at one time.
    pub(super) fn new(threads: usize, start_ns: u64) -> Self {
        Turns {
            clocks_ns: Mutex::new(vec![Some(start_ns); threads]),
            changed: (0..threads).map(|_| Condvar::new()).collect(),
        }
    }

    /// Does each step as a thread of a number when it is its turn, and is done then.
    pub(super) fn take<E>(
        &self,
        number: usize,
        steps: Range<usize>,
        mut step: impl FnMut(usize) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut outcome = Ok(());
        for index in steps {
            drop(self.wait(number));
            outcome = step(index);
            self.clocks()[number] = Some(clock::now_ns());
            self.wake_next();
            if outcome.is_err() {
                break;
            }
        }
        drop(self.wait(number));
        self.clocks()[number] = None;
        self.wake_next();
        outcome
    }

    fn wait(&self, number: usize) -> MutexGuard<'_, Vec<Option<u64>>> {
        let is_others = |clocks: &mut Vec<Option<u64>>| next(clocks) != Some(number);
        self.changed[number].wait_while(self.clocks(), is_others).unwrap_or_else(PoisonError::into_inner)
    }

    fn wake_next(&self) {
        let next = next(&self.clocks());
        next.into_iter().for_each(|next| self.changed[next].notify_one());
    }

    fn clocks(&self) -> MutexGuard<'_, Vec<Option<u64>>> {
        self.clocks_ns.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The thread whose clock is behind; of several, the first.
fn next(clocks_ns: &[Option<u64>]) -> Option<usize> {
    let running = clocks_ns.iter().enumerate().filter_map(|(number, clock)| Some(((*clock)?, number)));
    running.min().map(|(_, number)| number)
}
