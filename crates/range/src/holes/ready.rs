//! Freed ranges kept as they were, for the next request of the same size.
//!
//! Most ranges are freed and allocated again at the same sizes. Merging each with its neighbours only to cut it out again
//! is most of the work, so some of each size are kept aside, last kept first served.

use alloc::boxed::Box;

use super::nodes::{Id, NONE, Nodes};
use crate::{Error, memory};

/// Ranges of this length and longer are not kept, in quanta.
const LIMIT: usize = 1024;

/// A list of ranges for each length.
#[derive(Debug)]
pub(super) struct Ready {
    heads: Box<[Id; LIMIT]>,
    /// Bit `n` is set if there is a range of `n` quanta.
    filled: [u64; LIMIT / 64],
    count: usize,
    quanta: u64,
}

impl Ready {
    /// No ranges yet.
    pub(super) fn new() -> Result<Self, Error> {
        Ok(Ready { heads: memory::try_array(NONE)?, filled: [0; LIMIT / 64], count: 0, quanta: 0 })
    }

    /// Number of ready ranges.
    pub(super) const fn count(&self) -> usize {
        self.count
    }

    /// Quanta in all of them.
    pub(super) const fn quanta(&self) -> u64 {
        self.quanta
    }

    /// All of them, in no order.
    pub(super) fn iter<'a>(&'a self, nodes: &'a Nodes) -> impl Iterator<Item = Id> + 'a {
        let listed = |id: Id| (id != NONE).then_some(id);
        let heads = self.heads.iter().filter_map(move |&head| listed(head));
        heads.flat_map(move |head| core::iter::successors(Some(head), move |&id| listed(nodes[id].size_next)))
    }

    /// Whether a range of `n` quanta may be kept if all together may have `limit`.
    #[inline]
    pub(super) const fn takes(&self, n: u32, limit: u64) -> bool {
        (n as usize) < LIMIT && self.quanta + n as u64 <= limit
    }

    /// Keeps a range that it [takes](Self::takes). There must be room for a record.
    #[inline]
    pub(super) fn push(&mut self, nodes: &mut Nodes, start: u32, n: u32) {
        let id = nodes.insert(start, n);
        let head = &mut self.heads[n as usize];
        nodes[id].size_next = *head;
        *head = id;
        self.filled[n as usize / 64] |= 1 << (n % 64);
        self.count += 1;
        self.quanta += u64::from(n);
    }

    /// Where the range of `n` quanta starts that was kept last.
    #[inline]
    pub(super) fn peek(&self, nodes: &Nodes, n: u32) -> Option<u32> {
        let head = *self.heads.get(n as usize)?;
        (head != NONE).then(|| nodes[head].start)
    }

    /// Takes the range of `n` quanta that was kept last.
    #[inline]
    pub(super) fn pop(&mut self, nodes: &mut Nodes, n: u32) -> Option<u32> {
        let head = self.heads.get_mut(n as usize).filter(|head| **head != NONE)?;
        let id = *head;
        let record = nodes[id];
        *head = record.size_next;
        if *head == NONE {
            self.filled[n as usize / 64] &= !(1 << (n % 64));
        }
        nodes.remove(id);
        self.count -= 1;
        self.quanta -= u64::from(n);
        Some(record.start)
    }

    /// The longest length there is.
    pub(super) fn longest(&self) -> Option<u32> {
        let filled = self.filled.iter().zip(0..).filter(|(bits, _)| **bits != 0);
        filled.last().map(|(bits, word)| word * 64 + bits.ilog2())
    }

    /// Bytes of heap in use.
    pub(super) fn heap_bytes(&self) -> usize {
        size_of_val(&*self.heads)
    }
}
