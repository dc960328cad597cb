//! Holes by where they start: is there one at exactly this position?
//!
//! The coordinates are cut into buckets of 256 quanta, each the head of a list of the holes that start in it. Most
//! lists have a hole or two, and nobody asks before the ledger says that something starts there. The order in a list is
//! that of arrival; order by address is the business of the ledger.

use alloc::{boxed::Box, vec::Vec};

use super::nodes::{Id, NONE, Nodes};
use crate::{Error, memory};

/// Quanta of a bucket, as a power of two.
pub(super) const BUCKET_LOG2: u32 = 8;
const PAGE: usize = 256;

type Heads = [Id; PAGE];

/// The lists.
#[derive(Debug, Default)]
pub(super) struct Starts {
    pages: Vec<Option<Box<Heads>>>,
}

/// The bucket of a position.
pub(super) const fn bucket_of(position: u32) -> usize {
    (position >> BUCKET_LOG2) as usize
}

const fn place(position: u32) -> (usize, usize) {
    let bucket = bucket_of(position);
    (bucket / PAGE, bucket % PAGE)
}

impl Starts {
    /// Makes sure that a hole can start at `position` without allocating.
    pub(super) fn reserve(&mut self, position: u32) -> Result<(), Error> {
        let (page, _) = place(position);
        if let Some(Some(_)) = self.pages.get(page) {
            return Ok(());
        }
        memory::try_extend(&mut self.pages, page + 1)?;
        self.pages[page] = Some(memory::try_array(NONE)?);
        Ok(())
    }

    fn head_mut(&mut self, position: u32) -> &mut Id {
        let (page, at) = place(position);
        let Some(Some(heads)) = self.pages.get_mut(page) else {
            panic!("I9: no room was reserved for a hole at quantum {position}");
        };
        &mut heads[at]
    }

    /// The hole that starts at `position`.
    pub(super) fn find(&self, nodes: &Nodes, position: u32) -> Option<Id> {
        let (page, at) = place(position);
        let mut id = self.pages.get(page)?.as_ref()?[at];
        while id != NONE {
            if nodes[id].start == position {
                return Some(id);
            }
            id = nodes[id].start_next;
        }
        None
    }

    /// Reads what [`find`](Self::find) will read first for positions around this one, so that it is at hand by then.
    #[inline]
    pub(super) fn look_ahead(&self, position: u32) {
        let (page, at) = place(position);
        if let Some(Some(heads)) = self.pages.get(page) {
            core::hint::black_box(heads[at]);
        }
    }

    /// Lists a hole. Room must have been [reserved](Self::reserve).
    pub(super) fn add(&mut self, nodes: &mut Nodes, id: Id) {
        let head = self.head_mut(nodes[id].start);
        nodes[id].start_next = *head;
        *head = id;
    }

    /// Takes a hole off its list.
    pub(super) fn remove(&mut self, nodes: &mut Nodes, id: Id) {
        let next = nodes[id].start_next;
        let head = self.head_mut(nodes[id].start);
        if *head == id {
            *head = next;
            return;
        }
        let mut before = *head;
        while nodes[before].start_next != id {
            before = nodes[before].start_next;
        }
        nodes[before].start_next = next;
    }

    /// A hole starts elsewhere from now on. Room must have been [reserved](Self::reserve).
    #[inline]
    pub(super) fn relocate(&mut self, nodes: &mut Nodes, id: Id, start: u32) {
        if bucket_of(nodes[id].start) == bucket_of(start) {
            nodes[id].start = start;
        } else {
            self.remove(nodes, id);
            nodes[id].start = start;
            self.add(nodes, id);
        }
    }

    /// All holes, in no order.
    pub(super) fn iter<'a>(&'a self, nodes: &'a Nodes) -> impl Iterator<Item = Id> + 'a {
        let listed = |id: Id| (id != NONE).then_some(id);
        let heads = self.pages.iter().flatten().flat_map(|heads| heads.iter());
        heads.flat_map(move |&head| core::iter::successors(listed(head), move |&id| listed(nodes[id].start_next)))
    }

    /// Bytes of heap in use.
    pub(super) fn heap_bytes(&self) -> usize {
        self.pages.iter().flatten().count() * size_of::<Heads>() + self.pages.capacity() * size_of::<usize>()
    }
}
