//! Room for holes, and which lists they are on: nothing of it is part of an allocation or a free.

use core::ops::Range;

use super::records::Records;
use super::size_lists::SizeLists;
use super::{DRAINING, Holes, NONE, Record, SERVING, WITHHELD, own_page, side};
use crate::Error;
use crate::live_map::Part;

/// Lists per power of two, as a power of two, of an arena with few records and with many. Between these there are about
/// as many lists as records.
const FEWEST_STEPS_LOG2: u32 = 3;
const MOST_STEPS_LOG2: u32 = 8;

/// How fine the lists by size should be if there is room for so many records.
fn steps_for(capacity: usize) -> u32 {
    capacity.max(1).ilog2().saturating_sub(3).clamp(FEWEST_STEPS_LOG2, MOST_STEPS_LOG2)
}

impl Holes {
    /// No holes, and no memory for any.
    pub(crate) const fn new() -> Self {
        Holes::with_steps(FEWEST_STEPS_LOG2)
    }

    const fn with_steps(steps_log2: u32) -> Self {
        // What is draining serves so little that it need not fit tightly.
        let lists = [SizeLists::new(steps_log2), SizeLists::new(FEWEST_STEPS_LOG2), SizeLists::new(0)];
        Holes { records: Records::new(), lists, draining: 0..0, longest: 0, grown: NONE }
    }

    /// Makes sure that there can be `total` holes at once without allocating.
    #[inline]
    pub(crate) fn reserve(&mut self, part: Part<'_>, total: usize) -> Result<(), Error> {
        if total <= self.records.capacity() { Ok(()) } else { self.grow(part, total) }
    }

    #[cold]
    fn grow(&mut self, part: Part<'_>, total: usize) -> Result<(), Error> {
        let is_fine = steps_for(total) <= self.lists[SERVING].steps_log2();
        // If there is no memory for finer lists, holes are found as well, but may fit less tightly.
        if is_fine || self.rebuild(part, total).is_err() { self.records.grow(total) } else { Ok(()) }
    }

    /// Makes sure that a hole can be as long as `longest` without allocating.
    pub(crate) fn reserve_longest(&mut self, longest: u32) -> Result<(), Error> {
        self.longest = self.longest.max(longest);
        self.lists[SERVING].reserve(self.longest)?;
        self.lists[WITHHELD].reserve(0)?;
        if self.lists[DRAINING].exist() { self.lists[DRAINING].reserve(self.longest) } else { Ok(()) }
    }

    /// Makes sure that a space can drain without allocating.
    pub(crate) fn prepare_to_drain(&mut self) -> Result<(), Error> {
        self.lists[DRAINING].reserve(self.longest)
    }

    /// Sets the space that is draining. Looks at every hole.
    pub(crate) fn drain(&mut self, space: Range<u32>) -> Result<(), Error> {
        if !space.is_empty() && !self.lists[DRAINING].exist() {
            return Err(Error::NotPrepared);
        }
        let before = core::mem::replace(&mut self.draining, space);
        for id in self.records.ids() {
            let hole = self.records[id];
            if hole.len() > 0 && side(&before, &hole) != side(&self.draining, &hole) {
                self.unlist(&hole);
                self.list(id, hole);
            }
        }
        Ok(())
    }

    /// Gives memory back that is not needed for `total` holes, if there is memory to make the rest anew.
    pub(crate) fn trim(&mut self, part: Part<'_>, total: usize) {
        if self.records.capacity() > 2 * total {
            // If not, what there is serves as well.
            let _ = self.rebuild(part, total);
        }
    }

    /// Makes records and lists anew, with room for `total` holes and lists as fine as suits so many.
    fn rebuild(&mut self, part: Part<'_>, total: usize) -> Result<(), Error> {
        let mut new = Holes::with_steps(steps_for(total));
        new.records.grow(total)?;
        new.reserve_longest(self.longest)?;
        if self.lists[DRAINING].exist() {
            new.prepare_to_drain()?;
            new.drain(self.draining.clone())?;
        }
        let old = core::mem::replace(self, new);
        let page_of = |hole: &Record| own_page(part.page(hole.start));
        old.iter().for_each(|hole| page_of(hole).set_first_hole(hole.start, NONE));
        old.iter().for_each(|hole| self.add(page_of(hole), NONE, *hole));
        Ok(())
    }

    /// Number of holes that are on the list they belong on.
    pub(crate) fn listed(&self) -> usize {
        let right = |lists: usize| {
            self.lists[lists].listed(&self.records).filter(move |(_, hole)| side(&self.draining, hole) == lists).count()
        };
        (0..self.lists.len()).map(right).sum()
    }

    /// Bytes of heap in use.
    pub(crate) fn heap_bytes(&self) -> usize {
        self.records.heap_bytes() + self.lists.iter().map(SizeLists::heap_bytes).sum::<usize>()
    }
}
