//! Small freed ranges kept as they were, for the next request of the same size.
//!
//! Most small ranges are freed and allocated again at the same few sizes. Merging each with its neighbours only to
//! cut it out again is most of the work, so up to a share of the live length is kept aside, one list a size.

use super::nodes::{Id, NONE, Nodes};

/// Longest range that is kept, in quanta.
const LONGEST: u32 = 32;

/// The lists.
#[derive(Debug)]
pub(super) struct Ready {
    heads: [Id; LONGEST as usize + 1],
    count: usize,
    quanta: u64,
}

impl Default for Ready {
    fn default() -> Self {
        Ready { heads: [NONE; LONGEST as usize + 1], count: 0, quanta: 0 }
    }
}

impl Ready {
    /// Whether ranges of this length are kept.
    pub(super) const fn keeps(len: u32) -> bool {
        len <= LONGEST
    }

    /// Number of ready ranges.
    pub(super) const fn count(&self) -> usize {
        self.count
    }

    /// Quanta in all of them.
    pub(super) const fn quanta(&self) -> u64 {
        self.quanta
    }

    /// Keeps a range.
    pub(super) fn push(&mut self, nodes: &mut Nodes, id: Id) {
        let len = nodes[id].len;
        nodes[id].make_ready(self.heads[len as usize]);
        self.heads[len as usize] = id;
        self.count += 1;
        self.quanta += u64::from(len);
    }

    /// The range of this length that was kept last.
    pub(super) fn pop(&mut self, nodes: &Nodes, len: u32) -> Option<Id> {
        let id = self.heads[len as usize];
        if id == NONE {
            return None;
        }
        self.heads[len as usize] = nodes[id].size_next;
        self.count -= 1;
        self.quanta -= u64::from(len);
        Some(id)
    }

    /// Any range.
    pub(super) fn pop_any(&mut self, nodes: &Nodes) -> Option<Id> {
        (1..=LONGEST).find_map(|len| self.pop(nodes, len))
    }
}
