//! Refusals on request.

use execmem_types::{BackendError, PageSize};

/// What a refused call answers: that a system has no memory.
const REFUSAL: BackendError = BackendError::System { errno: 12 };

/// Which calls to refuse. Every call of the backend that can fail counts as one.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    calls: u64,
    /// The call to refuse.
    nth: Option<u64>,
    /// Refuse all from that one on.
    is_lasting: bool,
    /// The largest page that can be had.
    largest_page: Option<PageSize>,
    /// Large pages that can still be had before only the smallest can.
    large_pages_left: Option<u64>,
}

impl Faults {
    /// Number of calls so far.
    pub(crate) const fn calls(&self) -> u64 {
        self.calls
    }

    /// Refuses the call after the next `after`; with `is_lasting`, all after it.
    pub(crate) fn refuse(&mut self, after: u64, is_lasting: bool) {
        self.nth = Some(self.calls + after);
        self.is_lasting = is_lasting;
    }

    /// Refuses nothing any more.
    pub(crate) fn stop(&mut self) {
        *self = Faults { calls: self.calls, ..Faults::default() };
    }

    pub(crate) fn limit_pages(&mut self, largest: PageSize) {
        self.largest_page = Some(largest);
    }

    pub(crate) fn limit_large_pages(&mut self, left: u64) {
        self.large_pages_left = Some(left);
    }

    /// Counts a call and refuses it if it is its turn.
    pub(crate) fn check(&mut self) -> Result<(), BackendError> {
        let nth = self.calls;
        self.calls += 1;
        let refused = self.nth.is_some_and(|refused| nth == refused || self.is_lasting && nth > refused);
        if refused { Err(REFUSAL) } else { Ok(()) }
    }

    /// Refuses pages that cannot be had; `smallest` always can.
    pub(crate) fn check_pages(&mut self, page: PageSize, smallest: PageSize, count: u64) -> Result<(), BackendError> {
        if page == smallest {
            return Ok(());
        }
        let refused = Err(BackendError::PageUnavailable { page });
        if self.largest_page.is_some_and(|largest| page > largest) {
            return refused;
        }
        match &mut self.large_pages_left {
            Some(left) if *left < count => refused,
            Some(left) => {
                *left -= count;
                Ok(())
            }
            None => Ok(()),
        }
    }
}
