//! What is free in an arena, found by size, by position, and around a position.
//!
//! *Boundaries* are one bit per quantum, set where a range of any state starts and where a run of managed space ends.
//! The bits next to a position are the ends of the range it lies in. A range that is not live has a *record*, found
//! by its start; a live range has none, so the boundaries are all that is stored for it. Holes are also listed by size.
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

use core::ops::Range;

use bins::Bins;
use nodes::{Id, NONE, Nodes};
use peaks::Peaks;
use ready::Ready;
use starts::Starts;

pub(crate) use bins::Place;
pub(crate) use nodes::State;

use crate::Error;
use crate::bitset::BitSet;

/// The boundaries and the records.
#[derive(Debug, Default)]
pub(crate) struct Holes {
    boundaries: BitSet,
    nodes: Nodes,
    starts: Starts,
    bins: Bins,
    /// Upper bounds of the longest hole in each stretch; see [`search`].
    longest: Peaks,
    ready: Ready,
    walls: usize,
    free: u64,
}

impl Holes {
    /// Makes sure that a range or a wall can start at `position`, and that there can be `records` at once, without
    /// allocating.
    pub(crate) fn reserve(&mut self, position: u32, records: usize) -> Result<(), Error> {
        self.nodes.reserve(records)?;
        self.boundaries.reserve(position)?;
        self.starts.reserve(position)?;
        self.bins.reserve()?;
        self.longest.reserve(search::stretch_of(position))
    }

    /// Number of holes.
    pub(crate) const fn count(&self) -> usize {
        self.nodes.in_use() - self.ready.count() - self.walls
    }

    /// Number of ready ranges.
    pub(crate) const fn ready_count(&self) -> usize {
        self.ready.count()
    }

    /// Quanta in ready ranges.
    pub(crate) const fn ready_len(&self) -> u64 {
        self.ready.quanta()
    }

    /// Quanta in all holes and ready ranges.
    pub(crate) const fn free(&self) -> u64 {
        self.free
    }

    /// Length of the longest hole.
    pub(crate) fn longest(&self) -> u32 {
        self.bins.longest(&self.nodes)
    }

    /// Whether a range starts at `position`, and of what state: `Some(None)` is a live range.
    pub(crate) fn state_at(&self, position: u32) -> Option<Option<State>> {
        let state = self.starts.find(&self.nodes, position).map(|id| self.nodes[id].state());
        (state.is_some() || self.boundaries.contains(position)).then_some(state)
    }

    /// Start of the range that contains `position`, if anything is managed at or before it.
    pub(crate) fn start_of(&self, position: u32) -> Option<u32> {
        self.boundaries.at_or_before(position)
    }

    /// End of the range that contains `position`, which lies in managed space.
    pub(crate) fn end_of(&self, position: u32) -> u32 {
        let Some(end) = self.boundaries.at_or_after(position + 1) else {
            panic!("I1: no boundary after quantum {position}");
        };
        end
    }

    /// The first boundary at or after `position`.
    pub(crate) fn next_boundary(&self, position: u32) -> Option<u32> {
        self.boundaries.at_or_after(position)
    }

    /// What would be left free behind `n` quanta at `place` if they were carved.
    pub(crate) fn remainder(&self, place: Place, n: u32) -> Option<u32> {
        let end = place.start + n;
        (end < self.nodes[place.hole].end()).then_some(end)
    }

    /// Takes `n` quanta at `place` out of their hole. The parts around them need room [reserved](Self::reserve).
    pub(crate) fn carve(&mut self, place: Place, n: u32) {
        let Place { hole: id, start } = place;
        let hole = self.nodes[id];
        let end = start + n;
        self.free -= u64::from(n);
        if start == hole.start {
            self.drop_hole(id);
        } else {
            self.boundaries.insert(start);
            self.resize(id, start - hole.start);
        }
        if end < hole.end() {
            self.boundaries.insert(end);
            self.add_hole(end, hole.end() - end);
        }
    }

    /// Makes `start..end`, a range with boundaries at both ends, free, and merges it with the holes it touches.
    /// Returns the hole it ended up in. Room at `start` must have been [reserved](Self::reserve).
    pub(crate) fn release(&mut self, start: u32, end: u32) -> Range<u32> {
        self.free += u64::from(end - start);
        self.merge(start, end)
    }

    fn merge(&mut self, start: u32, end: u32) -> Range<u32> {
        let mut hole = start..end;
        if let Some(id) = self.hole_at(end) {
            hole.end = self.nodes[id].end();
            self.boundaries.remove(end);
            self.drop_hole(id);
        }
        let before = start.checked_sub(1).and_then(|last| self.boundaries.at_or_before(last));
        if let Some(id) = before.and_then(|before| self.hole_at(before)) {
            hole.start = self.nodes[id].start;
            self.boundaries.remove(start);
            self.resize(id, hole.end - hole.start);
        } else {
            self.add_hole(start, hole.end - start);
        }
        hole
    }

    /// Keeps the range `start..end` ready for the next request of its size instead of [releasing](Self::release) it.
    pub(crate) fn keep(&mut self, start: u32, end: u32) {
        let id = self.nodes.insert(start, end - start);
        self.starts.add(&mut self.nodes, id);
        self.ready.push(&mut self.nodes, id);
        self.free += u64::from(end - start);
    }

    /// Whether a range of `n` quanta may be kept ready, given how many ready quanta are wanted at most and how many
    /// records must stay available.
    pub(crate) fn may_keep(&self, n: u32, limit: u64, records: usize) -> bool {
        Ready::keeps(n) && self.ready.quanta() + u64::from(n) <= limit && records <= self.nodes.capacity()
    }

    /// Takes a ready range of exactly `n` quanta.
    pub(crate) fn take_ready(&mut self, n: u32) -> Option<u32> {
        let id = if Ready::keeps(n) { self.ready.pop(&self.nodes, n)? } else { return None };
        let start = self.nodes[id].start;
        self.drop_record(id);
        self.free -= u64::from(n);
        Some(start)
    }

    /// Merges one ready range with the holes it touches. Returns it and the hole it ended up in.
    pub(crate) fn settle_one(&mut self) -> Option<(Range<u32>, Range<u32>)> {
        let id = self.ready.pop_any(&self.nodes)?;
        let Range { start, end } = self.nodes[id].start..self.nodes[id].end();
        self.drop_record(id);
        Some((start..end, self.merge(start, end)))
    }

    /// Sets a boundary at `position`.
    pub(crate) fn cut(&mut self, position: u32) {
        self.boundaries.insert(position);
    }

    /// Removes the boundary at `position`.
    pub(crate) fn uncut(&mut self, position: u32) {
        self.boundaries.remove(position);
    }

    /// Marks the end of a run of managed space, at a boundary.
    pub(crate) fn add_wall(&mut self, position: u32) {
        let id = self.nodes.insert(position, 0);
        self.starts.add(&mut self.nodes, id);
        self.walls += 1;
    }

    /// Removes the wall at `position`, if there is one; its boundary stays.
    pub(crate) fn remove_wall(&mut self, position: u32) -> bool {
        let found = self.starts.find(&self.nodes, position).filter(|&id| self.nodes[id].state() == State::Wall);
        if let Some(id) = found {
            self.drop_record(id);
            self.walls -= 1;
        }
        found.is_some()
    }

    fn hole_at(&self, position: u32) -> Option<Id> {
        self.starts.find(&self.nodes, position).filter(|&id| self.nodes[id].state() == State::Hole)
    }

    fn add_hole(&mut self, start: u32, len: u32) {
        let id = self.nodes.insert(start, len);
        self.starts.add(&mut self.nodes, id);
        self.bins.add(&mut self.nodes, id);
        self.longest.raise(search::stretch_of(start), len);
    }

    fn drop_hole(&mut self, id: Id) {
        self.bins.remove(&mut self.nodes, id);
        self.drop_record(id);
    }

    fn drop_record(&mut self, id: Id) {
        self.starts.remove(&mut self.nodes, id);
        self.nodes.remove(id);
    }

    fn resize(&mut self, id: Id, len: u32) {
        self.bins.resize(&mut self.nodes, id, len);
        self.longest.raise(search::stretch_of(self.nodes[id].start), len);
    }

    /// Whether the record of a range that is not live says where it ends.
    pub(crate) fn is_recorded(&self, range: &Range<u32>) -> bool {
        self.starts.find(&self.nodes, range.start).is_some_and(|id| self.nodes[id].end() == range.end)
    }

    /// Checks that the hole at `start` is listed by size.
    pub(crate) fn is_listed(&self, start: u32) -> bool {
        self.hole_at(start).is_some_and(|id| {
            let bounded = self.longest.get(search::stretch_of(start)) >= self.nodes[id].len;
            bounded && self.bins.lists(&self.nodes, id)
        })
    }

    /// Number of holes on all lists by size.
    pub(crate) fn listed(&self) -> usize {
        self.bins.count(&self.nodes)
    }

    /// Bytes of heap in use, and bytes reserved for what later calls need.
    pub(crate) fn heap_bytes(&self) -> (usize, usize) {
        let (used, reserved) = self.nodes.heap_bytes();
        let bits = self.boundaries.heap_bytes();
        let indexes = bits + self.starts.heap_bytes() + self.bins.heap_bytes() + self.longest.heap_bytes();
        (used + indexes, reserved + indexes)
    }
}

const _: () = assert!(NONE > 1 << 31, "the end of a list is no record");
