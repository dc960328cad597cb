//! What is free in an arena, found by size and by where it starts.
//!
//! Every hole has a record, in the bucket of its start and on a list. Live ranges have none: all that is stored about them
//! is in the [live map](crate::LiveMap).
//!
//! # Invariants (I2)
//!
//! No two holes that serve requests touch, and no two that are withheld; each is in exactly one bucket and on exactly one
//! list. Where a withheld hole would need a record that nothing was reserved for, it takes in a hole that it touches.

mod records;
mod size_lists;
mod upkeep;

use core::ops::Range;

use records::Records;
use size_lists::SizeLists;

pub(crate) use records::{Id, NONE, Record};

use crate::live_map::{Page, Part};

/// Numbers of the lists of holes: of those that serve requests by their size, of those in the space that is draining by
/// their size, and of those that are withheld on a single one.
const SERVING: usize = 0;
const DRAINING: usize = 1;
const WITHHELD: usize = 2;

/// The holes.
#[derive(Debug)]
pub(crate) struct Holes {
    records: Records,
    lists: [SizeLists; 3],
    /// Where requests are served only if they cannot be elsewhere.
    draining: Range<u32>,
    /// No hole can be longer.
    longest: u32,
    /// The hole that grew last at its end, or a slot without one: frees in order of address grow one hole, whose start is ever
    /// farther away.
    grown: Id,
}

/// Finding.
impl Holes {
    /// The hole that fits most tightly, outside what is draining if possible, and where in it.
    #[inline]
    pub(crate) fn tightest(&self, n: u32, mask: u32) -> Option<(Id, u32)> {
        if mask == 0
            && let Some(id) = self.lists[SERVING].tightest(&self.records, n)
        {
            return Some((id, self.records[id].start));
        }
        self.tightest_aligned(n, mask)
    }

    fn tightest_aligned(&self, n: u32, mask: u32) -> Option<(Id, u32)> {
        let find = |lists: usize| self.lists[lists].tightest_aligned(&self.records, n, mask);
        find(SERVING).or_else(|| find(DRAINING))
    }

    /// The record of a hole.
    #[inline]
    pub(crate) fn record(&self, id: Id) -> &Record {
        &self.records[id]
    }

    /// The hole that starts at a position of a page.
    #[inline]
    pub(crate) fn starting_at(&self, page: &Page, at: u32) -> Option<Id> {
        if !page.has_other_start(at) {
            return None;
        }
        let mut id = page.first_hole(at);
        while id != NONE {
            let hole = &self.records[id];
            if hole.start == at {
                return Some(id);
            }
            id = hole.chain;
        }
        None
    }

    /// The hole that ends at a position of a page.
    #[inline(always)]
    fn ending_at<'p>(&self, part: Part<'p>, page: &'p Page, at: u32) -> Option<Id> {
        let (page, start) = match page.own_start_before(at) {
            Some(start) => (page, start),
            None if at == 0 => return None,
            None if self.grown(|hole| hole.end() == at) => return Some(self.grown),
            None => part.last_start(at - 1).map(|start| (start.page, start.at))?,
        };
        self.starting_at(page, start).filter(|id| self.records[*id].end() == at)
    }

    /// Whether there is a hole that grew last, and it is so.
    fn grown(&self, is_so: impl Fn(&Record) -> bool) -> bool {
        self.records.get(self.grown).is_some_and(|hole| hole.len() > 0 && is_so(hole))
    }

    /// The hole that a position lies in.
    pub(crate) fn holding(&self, part: Part<'_>, at: u32) -> Option<Id> {
        if self.grown(|hole| hole.start <= at && at < hole.end()) {
            return Some(self.grown);
        }
        let start = part.last_start(at)?;
        self.starting_at(start.page, start.at).filter(|id| at < self.records[*id].end())
    }

    /// All holes, in no order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Record> {
        self.records.iter()
    }

    /// Whether there are withheld holes.
    #[inline]
    pub(crate) fn withholds(&self) -> bool {
        self.lists[WITHHELD].are_filled()
    }

    /// The withheld holes; the one withheld last is the first.
    pub(crate) fn withheld(&self) -> impl Iterator<Item = Record> {
        self.lists[WITHHELD].iter(&self.records, 0).map(|(_, hole)| hole)
    }

    /// Number of holes.
    #[inline]
    pub(crate) const fn count(&self) -> usize {
        self.records.in_use()
    }

    /// Length of the longest hole that serves requests.
    pub(crate) fn longest(&self) -> u32 {
        self.lists[..WITHHELD].iter().map(|lists| lists.longest(&self.records)).max().unwrap_or(0)
    }
}

/// Changing. Room for it was made before.
impl Holes {
    /// Takes `n` quanta at `start`, which lies in a page, out of a hole. What is left of it has its starts afterwards, and
    /// so has what is carved. The end, if it is inside the hole, lies in a page of the part.
    #[inline(always)]
    pub(crate) fn carve<'p>(&mut self, part: Part<'p>, page: &'p Page, id: Id, start: u32, n: u32) {
        let hole = self.records[id];
        if start != hole.start {
            return self.carve_inside(part, page, id, start, n);
        }
        self.unlist(&hole);
        if n == hole.len() {
            self.unchain(page, id, &hole);
            self.records.remove(id);
            return;
        }
        let end = start + n;
        let end_page = own_page(part.page_near(page, start, end));
        end_page.add_start(end);
        let mut rest = hole.resized(end, hole.len() - n);
        if !Page::share_bucket(start, end) {
            self.unchain(page, id, &hole);
            rest.chain = end_page.first_hole(end);
            end_page.set_first_hole(end, id);
        }
        self.list(id, rest);
    }

    /// The same where the front of the hole stays.
    fn carve_inside<'p>(&mut self, part: Part<'p>, page: &'p Page, id: Id, start: u32, n: u32) {
        let (hole, end) = (self.records[id], start + n);
        self.unlist(&hole);
        page.add_start(start);
        self.list(id, hole.resized(hole.start, start - hole.start));
        if end < hole.end() {
            let page = own_page(part.page(end));
            page.add_start(end);
            self.add(page, NONE, Record::new(end, hole.end() - end, false));
        }
    }

    /// Makes `start..start + len` free, which starts in a page, and merges it with the holes of the same state that it
    /// touches. Returns the length of the hole, or 0 if it is withheld.
    #[inline(always)]
    pub(crate) fn release<'p>(
        &mut self,
        part: Part<'p>,
        page: &'p Page,
        start: u32,
        len: u32,
        is_withheld: bool,
    ) -> u32 {
        let freed = Record::new(start, len, is_withheld);
        if is_withheld || self.withholds() {
            return self.release_among_withheld(part, page, freed);
        }
        let (next, before) = self.neighbours(part, page, &freed);
        self.merge(page, freed, next, before)
    }

    /// The same where holes of both states may touch.
    #[cold]
    fn release_among_withheld<'p>(&mut self, part: Part<'p>, page: &'p Page, freed: Record) -> u32 {
        if self.records.is_full() {
            self.make_room(part);
        }
        let (next, before) = self.neighbours(part, page, &freed);
        let is_alike = |id: &Id| self.records[*id].is_withheld() == freed.is_withheld();
        let (next, before) = (next.filter(|(_, id)| is_alike(id)), before.filter(is_alike));
        self.merge(page, freed, next, before)
    }

    /// The holes after a range that starts in a page, with the page of its end, and before it.
    #[inline(always)]
    fn neighbours<'p>(&self, part: Part<'p>, page: &'p Page, range: &Record) -> (Option<(&'p Page, Id)>, Option<Id>) {
        let end = range.end();
        let next = part.page_near(page, range.start, end).and_then(|page| Some((page, self.starting_at(page, end)?)));
        (next, self.ending_at(part, page, range.start))
    }

    /// Adds a free range that starts in a page, joined with the holes after and before it. Returns the length of the hole, or 0
    /// if it is withheld.
    #[inline(always)]
    fn merge(&mut self, page: &Page, mut freed: Record, next: Option<(&Page, Id)>, before: Option<Id>) -> u32 {
        let (start, mut slot) = (freed.start, NONE);
        if let Some((next_page, id)) = next {
            let hole = self.records[id];
            self.unlist(&hole);
            self.unchain(next_page, id, &hole);
            next_page.remove_start(hole.start);
            (freed, slot) = (freed.with(&hole), id);
        }
        if let Some(id) = before {
            let hole = self.records[id];
            self.unlist(&hole);
            page.remove_start(start);
            if slot != NONE {
                self.records.remove(slot);
            }
            freed = hole.with(&freed);
            self.list(id, freed);
            self.grown = id;
        } else {
            self.add(page, slot, freed);
        }
        if freed.is_withheld() { 0 } else { freed.len() }
    }

    /// The withheld hole that starts at a position serves requests again. Returns its length, or `None` if there is none.
    pub(crate) fn end_withholding(&mut self, part: Part<'_>, at: u32) -> Option<u32> {
        let id = self.holding(part, at)?;
        let hole = self.records[id];
        if hole.start != at || !hole.is_withheld() {
            return None;
        }
        let page = self.take_out(part, id);
        Some(self.release(part, page, at, hole.len(), false))
    }

    /// Takes a hole out of its bucket and off its list. Its start stays. Returns the page of that.
    fn take_out<'p>(&mut self, part: Part<'p>, id: Id) -> &'p Page {
        let hole = self.records[id];
        let page = own_page(part.page(hole.start));
        self.unlist(&hole);
        self.unchain(page, id, &hole);
        self.records.remove(id);
        page
    }

    /// Lets a withheld hole take in the holes that it touches, so that there is a record for another. There is one that touches
    /// some: else there would be records enough.
    #[cold]
    fn make_room(&mut self, part: Part<'_>) {
        let mut crowded = None;
        for (id, hole) in self.lists[WITHHELD].iter(&self.records, 0) {
            if let (Some(_), _) | (_, Some(_)) = self.neighbours(part, own_page(part.page(hole.start)), &hole) {
                crowded = Some((id, hole.start));
                break;
            }
        }
        let Some((id, start)) = crowded else { return };
        // What they touch in turn is withheld.
        let start = self.take_in(part, id).unwrap_or(start);
        if let Some(id) = part.page(start).and_then(|page| self.starting_at(page, start)) {
            self.take_in(part, id);
        }
    }

    /// Makes a withheld hole and those that it touches one. Returns where that starts, if it is elsewhere than before.
    fn take_in(&mut self, part: Part<'_>, id: Id) -> Option<u32> {
        let hole = self.records[id];
        let (next, before) = self.neighbours(part, own_page(part.page(hole.start)), &hole);
        let start = before.map(|before| self.records[before].start);
        let page = self.take_out(part, id);
        self.merge(page, Record::new(hole.start, hole.len(), true), next, before);
        start
    }

    /// A hole comes to be that starts in a page, with its record in a slot or in another one.
    #[inline(always)]
    fn add(&mut self, page: &Page, slot: Id, hole: Record) {
        let id = if slot == NONE { self.records.insert() } else { slot };
        let chain = page.first_hole(hole.start);
        page.set_first_hole(hole.start, id);
        self.list(id, Record { chain, ..hole });
    }

    /// Writes the record of a hole and puts it on the list that it belongs on.
    #[inline(always)]
    fn list(&mut self, id: Id, hole: Record) {
        let side = side(&self.draining, &hole);
        self.lists[side].push(&mut self.records, id, hole, mark(side));
    }

    /// Takes a hole off its list.
    #[inline(always)]
    fn unlist(&mut self, hole: &Record) {
        if hole.next != NONE {
            self.records[hole.next].prev = hole.prev;
        }
        match self.lists.get_mut((NONE - hole.prev) as usize) {
            Some(lists) => lists.pop(hole),
            None => self.records[hole.prev].next = hole.next,
        }
    }

    /// Takes a hole out of its bucket.
    #[inline]
    fn unchain(&mut self, page: &Page, id: Id, hole: &Record) {
        let mut before = page.first_hole(hole.start);
        if before == id {
            page.set_first_hole(hole.start, hole.chain);
            return;
        }
        while self.records[before].chain != id {
            before = self.records[before].chain;
        }
        self.records[before].chain = hole.chain;
    }
}

/// The page of a position where room was made.
#[inline]
fn own_page(page: Option<&Page>) -> &Page {
    page.expect("I9: room was reserved")
}

/// What the head of a list has in place of a hole before it: so the lists it is on are known where they are needed.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "there are three")]
const fn mark(side: usize) -> Id {
    NONE - side as Id
}

/// Which of the lists a hole is on, given the space that is draining.
#[inline]
const fn side(draining: &Range<u32>, hole: &Record) -> usize {
    if hole.is_withheld() {
        return WITHHELD;
    }
    if hole.start.wrapping_sub(draining.start) < draining.end - draining.start { DRAINING } else { SERVING }
}
