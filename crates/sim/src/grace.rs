//! Grace periods: the time after which no thread is in a walk that began before.
//!
//! Walks are counted by the phase they began in, zero or one. The phase changes when no thread is left of the one before, so
//! what was unlinked in a phase is out of reach once the phase after it has ended as well.

use crate::sync::{AtomicUsize, Ordering};

/// Counts walks.
#[derive(Debug)]
pub(crate) struct Grace {
    phase: AtomicUsize,
    walks: [AtomicUsize; 2],
}

/// A walk; what it can reach stays until this is dropped.
#[derive(Debug)]
pub(crate) struct Walk<'a> {
    own: &'a AtomicUsize,
}

impl Grace {
    pub(crate) fn new() -> Self {
        Grace { phase: AtomicUsize::new(0), walks: [AtomicUsize::new(0), AtomicUsize::new(0)] }
    }

    /// Begins a walk.
    pub(crate) fn enter(&self) -> Walk<'_> {
        let mut phase = self.latest(&self.phase);
        loop {
            let walk = Walk { own: &self.walks[phase] };
            walk.own.fetch_add(1, Ordering::AcqRel);
            // A walk that counts for a phase which is over would not hold up anything.
            let now = self.latest(&self.phase);
            if now == phase {
                return walk;
            }
            phase = now;
        }
    }

    /// Begins the next phase if no thread is left of the one before this. Returns the phase that is over then: what was
    /// unlinked while it was there can be freed.
    pub(crate) fn advance(&self) -> Option<usize> {
        let over = 1 - self.phase();
        if self.latest(&self.walks[over]) > 0 {
            return None;
        }
        self.phase.fetch_xor(1, Ordering::AcqRel);
        Some(over)
    }

    /// The phase there is: 0 or 1.
    pub(crate) fn phase(&self) -> usize {
        self.latest(&self.phase)
    }

    /// The last value, where a load might find an older one.
    fn latest(&self, counter: &AtomicUsize) -> usize {
        counter.fetch_add(0, Ordering::AcqRel)
    }
}

impl Drop for Walk<'_> {
    fn drop(&mut self) {
        self.own.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_walk_holds_up_the_end_of_its_phase_and_of_no_other() {
        let grace = Grace::new();
        let walk = grace.enter();
        assert_eq!(grace.advance(), Some(1), "nobody began in the phase before");
        assert_eq!(grace.advance(), None, "somebody is in this one");
        let later = grace.enter();
        drop(walk);
        assert_eq!(grace.advance(), Some(0));
        assert_eq!(grace.advance(), None);
        drop(later);
        assert_eq!((grace.advance(), grace.advance()), (Some(1), Some(0)));
    }
}
