//! What is free in an arena, found by size, by position, and around a position.
//!
//! Every hole has a *record*, found by its start and listed by its size; every ready range one that is listed by its
//! size. Live ranges have none: all that is stored about them is in the [`Ledger`].
//!
//! # Invariants (I2)
//!
//! No two holes touch; each is in exactly one list by start and one by size.

mod bins;
mod nodes;
mod peaks;
mod ready;
mod search;
mod starts;

use alloc::sync::Arc;
use core::ops::Range;

use bins::Bins;
use nodes::{Id, NONE, Nodes};
use peaks::Peaks;
use ready::Ready;
use starts::Starts;

pub(crate) use bins::Place;

use crate::{Error, Ledger};

/// The holes, the ready ranges, and the ledger they are free in.
#[derive(Debug)]
pub(crate) struct Holes {
    pub(crate) ledger: Arc<Ledger>,
    nodes: Nodes,
    starts: Starts,
    /// Holes that start in [`avoided`](Self::avoided) are in the second.
    bins: [Bins; 2],
    /// Where requests are served only if they cannot be elsewhere.
    avoided: Range<u32>,
    /// Upper bounds of the longest hole in each bucket, once somebody searched by address; see [`search`].
    longest: Option<Peaks>,
    ready: Option<Ready>,
    /// Quanta in holes.
    free: u64,
}

impl Holes {
    pub(crate) fn new(ledger: Arc<Ledger>) -> Self {
        Holes {
            ledger,
            nodes: Nodes::default(),
            starts: Starts::default(),
            bins: [Bins::default(), Bins::default()],
            avoided: 0..0,
            longest: None,
            ready: None,
            free: 0,
        }
    }

    /// Makes sure that there can be holes at all.
    pub(crate) fn reserve_lists(&mut self) -> Result<(), Error> {
        self.bins[0].reserve(self.ledger.limit())
    }

    /// Makes sure that there can be `records` holes and ready ranges at once without allocating.
    #[inline]
    pub(crate) fn reserve(&mut self, records: usize) -> Result<(), Error> {
        self.nodes.reserve(records)
    }

    /// Makes sure that a range can start at a position without allocating.
    #[inline]
    pub(crate) fn reserve_start(&mut self, position: u32) -> Result<(), Error> {
        self.ledger.reserve(position)?;
        self.starts.reserve(position)?;
        self.longest.as_mut().map_or(Ok(()), |longest| longest.reserve(starts::bucket_of(position)))
    }

    /// Makes sure that `n` quanta at `place` can be [carved](Self::carve) without allocating.
    #[inline]
    pub(crate) fn reserve_parts(&mut self, place: Place, n: u32) -> Result<(), Error> {
        let (hole, end) = (&self.nodes[place.hole], place.start + n);
        let (first, last) = (hole.start, hole.end());
        if place.start > first && self.lacks_room(first, place.start) {
            self.reserve_start(place.start)?;
        }
        if end < last && self.lacks_room(first, end) { self.reserve_start(end) } else { Ok(()) }
    }

    /// Whether a range may have no room to start at a position, given where one starts before. What is reserved for
    /// starts has no smaller unit than a page of the ledger, bounds of the longest holes apart.
    #[inline]
    const fn lacks_room(&self, start: u32, position: u32) -> bool {
        !Ledger::share_page(start, position) || self.longest.is_some()
    }

    /// All holes, in no order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Range<u32>> + '_ {
        self.starts.iter(&self.nodes).map(|id| self.nodes[id].start..self.nodes[id].end())
    }

    /// Number of holes.
    pub(crate) fn count(&self) -> usize {
        self.records() - self.ready_count()
    }

    /// Number of holes and ready ranges.
    #[inline]
    pub(crate) const fn records(&self) -> usize {
        self.nodes.in_use()
    }

    /// Quanta in holes.
    pub(crate) const fn free(&self) -> u64 {
        self.free
    }

    /// Length of the longest hole.
    pub(crate) fn longest(&self) -> u32 {
        self.bins.iter().map(|bins| bins.longest(&self.nodes)).max().unwrap_or(0)
    }

    /// The hole that starts at a position.
    pub(crate) fn at(&self, position: u32) -> Option<Range<u32>> {
        self.id_at(position).map(|id| self.nodes[id].start..self.nodes[id].end())
    }

    /// The hole that ends at a position.
    pub(crate) fn before(&self, position: u32) -> Option<Range<u32>> {
        self.id_before(position).map(|id| self.nodes[id].start..position)
    }

    #[inline]
    fn id_at(&self, position: u32) -> Option<Id> {
        if self.ledger.has_other_start(position) { self.starts.find(&self.nodes, position) } else { None }
    }

    #[inline]
    fn id_before(&self, position: u32) -> Option<Id> {
        let start = self.ledger.last_other_start(position.checked_sub(1)?)?;
        self.starts.find(&self.nodes, start).filter(|&id| self.nodes[id].end() == position)
    }

    /// Whoever calls is about to [release](Self::release) what starts at a position, and reads the ledger before: what both
    /// read is far away, and can come at the same time.
    #[inline]
    pub(crate) fn look_ahead(&self, position: u32) {
        self.starts.look_ahead(position);
    }

    /// Takes `n` quanta at `place` out of their hole. Starts of ranges are there afterwards for what is left of the
    /// hole, but not for what is carved. The parts need room [reserved](Self::reserve).
    #[inline]
    pub(crate) fn carve(&mut self, place: Place, n: u32) {
        let Place { hole: id, start } = place;
        let hole = self.nodes[id].start..self.nodes[id].end();
        let end = start + n;
        self.free -= u64::from(n);
        match (start == hole.start, end == hole.end) {
            (true, true) => self.drop_hole(id),
            (true, false) => {
                self.ledger.add_start(end);
                self.relocate(id, end, hole.end);
            }
            (false, true) => self.resize(id, start - hole.start),
            (false, false) => {
                self.ledger.add_start(end);
                self.resize(id, start - hole.start);
                self.add_hole(end, hole.end - end);
            }
        }
    }

    /// Makes `start..end` free, which has its start in the ledger, and merges it with the holes it touches. Returns the
    /// hole it ended up in. Room at `start` must have been [reserved](Self::reserve).
    pub(crate) fn release(&mut self, start: u32, end: u32) -> Range<u32> {
        self.free += u64::from(end - start);
        let after = self.id_at(end);
        let before = self.id_before(start);
        let end = after.map_or(end, |id| self.nodes[id].end());
        if let Some(id) = after {
            self.ledger.remove_start(self.nodes[id].start);
        }
        let Some(before) = before else {
            match after {
                Some(id) => self.relocate(id, start, end),
                None => self.add_hole(start, end - start),
            }
            return start..end;
        };
        if let Some(id) = after {
            self.drop_hole(id);
        }
        self.ledger.remove_start(start);
        let first = self.nodes[before].start;
        self.resize(before, end - first);
        first..end
    }

    /// Space comes under management and is free. Room at its start must have been [reserved](Self::reserve), and at its
    /// end if a [mark](Ledger::needs_mark) is needed there.
    pub(crate) fn open(&mut self, span: &Range<u32>) {
        self.ledger.add_start(span.start);
        if Ledger::needs_mark(span.end) {
            self.ledger.add_start(span.end);
        }
        self.release(span.start, span.end);
    }

    /// Carved space goes out of management. Room at its start must have been reserved.
    pub(crate) fn close(&mut self, span: &Range<u32>, is_managed_before: bool, is_managed_after: bool) {
        if is_managed_before && Ledger::needs_mark(span.start) {
            self.ledger.add_start(span.start);
        } else {
            self.ledger.remove_start(span.start);
        }
        if !is_managed_after && Ledger::needs_mark(span.end) {
            self.ledger.remove_start(span.end);
        }
    }

    /// A hole begins elsewhere: its record moves.
    #[inline]
    fn relocate(&mut self, id: Id, start: u32, end: u32) {
        let (from, to, len) = (self.side(self.nodes[id].start), self.side(start), end - start);
        if from == to {
            self.bins[to].resize(&mut self.nodes, id, len);
        } else {
            self.bins[from].remove(&mut self.nodes, id);
            self.nodes[id].len = len;
            self.bins[to].add(&mut self.nodes, id);
        }
        self.starts.relocate(&mut self.nodes, id, start);
        self.raise(start, len);
    }

    /// Which of the bins a hole is in.
    #[inline]
    fn side(&self, start: u32) -> usize {
        usize::from(self.avoided.contains(&start))
    }

    fn add_hole(&mut self, start: u32, len: u32) {
        let id = self.nodes.insert(start, len);
        let side = self.side(start);
        self.starts.add(&mut self.nodes, id);
        self.bins[side].add(&mut self.nodes, id);
        self.raise(start, len);
    }

    fn drop_hole(&mut self, id: Id) {
        let side = self.side(self.nodes[id].start);
        self.bins[side].remove(&mut self.nodes, id);
        self.starts.remove(&mut self.nodes, id);
        self.nodes.remove(id);
    }

    fn resize(&mut self, id: Id, len: u32) {
        let start = self.nodes[id].start;
        let side = self.side(start);
        self.bins[side].resize(&mut self.nodes, id, len);
        self.raise(start, len);
    }

    #[inline]
    fn raise(&mut self, start: u32, len: u32) {
        if let Some(longest) = &mut self.longest {
            longest.raise(starts::bucket_of(start), len);
        }
    }

    /// Sets what part of the space is used only for requests that cannot be served elsewhere.
    pub(crate) fn avoid(&mut self, avoided: Range<u32>) -> Result<(), Error> {
        self.bins[1].reserve(self.ledger.limit())?;
        let old = core::mem::replace(&mut self.avoided, avoided.clone());
        self.move_holes(old.clone(), &avoided, 1);
        self.move_holes(avoided, &old, 0);
        Ok(())
    }

    /// Moves the holes that start in `within` and not in `except` from one of the bins to the other.
    fn move_holes(&mut self, within: Range<u32>, except: &Range<u32>, from: usize) {
        let mut at = within.start;
        while let Some(start) = self.ledger.next_start(at).filter(|start| within.contains(start)) {
            at = start + 1;
            if let Some(id) = self.id_at(start).filter(|_| !except.contains(&start)) {
                self.bins[from].remove(&mut self.nodes, id);
                self.bins[1 - from].add(&mut self.nodes, id);
            }
        }
    }

    /// Whether the hole at `start` is listed by size.
    pub(crate) fn is_listed(&self, start: u32) -> bool {
        self.id_at(start).is_some_and(|id| {
            let len = self.nodes[id].len;
            let bounded = self.longest.as_ref().is_none_or(|peaks| peaks.get(starts::bucket_of(start)) >= len);
            bounded && self.bins[self.side(start)].lists(&self.nodes, id)
        })
    }

    /// Number of holes on all lists by size.
    pub(crate) fn listed(&self) -> usize {
        self.bins.iter().map(|bins| bins.count(&self.nodes)).sum()
    }

    /// Bytes of heap in use, and bytes reserved for what later calls need. The ledger is not counted.
    pub(crate) fn heap_bytes(&self) -> (usize, usize) {
        let (used, reserved) = self.nodes.heap_bytes();
        let bins: usize = self.bins.iter().map(Bins::heap_bytes).sum();
        let longest = self.longest.as_ref().map_or(0, Peaks::heap_bytes);
        let indexes = self.starts.heap_bytes() + bins + longest + self.ready.as_ref().map_or(0, Ready::heap_bytes);
        (used + indexes, reserved + indexes)
    }
}

/// Ready ranges.
impl Holes {
    /// Keeps small freed ranges ready from now on.
    pub(crate) fn keep_ready(&mut self) -> Result<(), Error> {
        self.ready = Some(Ready::new()?);
        Ok(())
    }

    /// Number of ready ranges.
    pub(crate) fn ready_count(&self) -> usize {
        self.ready.as_ref().map_or(0, Ready::count)
    }

    /// Quanta in ready ranges.
    pub(crate) fn ready_len(&self) -> u64 {
        self.ready.as_ref().map_or(0, Ready::quanta)
    }

    /// The ready ranges, in no order.
    pub(crate) fn ready(&self) -> impl Iterator<Item = Range<u32>> + '_ {
        let ids = self.ready.iter().flat_map(|ready| ready.iter(&self.nodes));
        ids.map(|id| self.nodes[id].start..self.nodes[id].end())
    }

    /// Keeps the range `start..end` ready for the next request of its size instead of [releasing](Self::release) it, if
    /// there are then no more than `limit` ready quanta, and room for `holes` holes is left.
    #[inline]
    pub(crate) fn keep(&mut self, start: u32, end: u32, limit: u64, holes: usize) -> bool {
        let Some(ready) = &mut self.ready else { return false };
        let is_kept = ready.takes(end - start, limit) && ready.count() + holes < self.nodes.capacity();
        if is_kept {
            ready.push(&mut self.nodes, start, end - start);
        }
        is_kept
    }

    /// The ready range of exactly `n` quanta that [`take_ready`](Self::take_ready) would take.
    #[inline]
    pub(crate) fn peek_ready(&self, n: u32) -> Option<u32> {
        self.ready.as_ref()?.peek(&self.nodes, n)
    }

    /// Takes a ready range of exactly `n` quanta.
    #[inline]
    pub(crate) fn take_ready(&mut self, n: u32) -> Option<u32> {
        self.ready.as_mut()?.pop(&mut self.nodes, n)
    }

    /// Merges one of the longest ready ranges with the holes it touches. Returns it and the hole it ended up in.
    pub(crate) fn settle_one(&mut self) -> Option<(Range<u32>, Range<u32>)> {
        let n = self.ready.as_ref()?.longest()?;
        let start = self.take_ready(n)?;
        Some((start..start + n, self.release(start, start + n)))
    }
}

const _: () = assert!(NONE > 1 << 31, "the end of a list is no record");
