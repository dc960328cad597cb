//! The arena: the only place where spans, the ledger and holes change, and always together.

mod query;
mod units;

pub(crate) use query::State;

use alloc::sync::Arc;
use core::ops::Range;

use crate::holes::{Holes, Place};
use crate::ledger::MAX_QUANTA;
use crate::spans::Spans;
use crate::{Error, Fit, Ledger, Request};

/// What [`Arena::free`] and [`Arena::truncate`] gave back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Freed {
    /// The range that is no longer live.
    pub range: Range<u64>,
    /// The hole it is part of now.
    pub hole: Range<u64>,
}

/// An allocator over spans of a coordinate space of up to 2³¹ quanta.
///
/// # Invariants (I1, I2)
///
/// Live ranges, ready ranges and holes tile every span exactly; no two holes touch. [`audit`](Self::audit) checks both.
#[derive(Debug)]
pub struct Arena {
    /// Ready ranges may take one part in `1 << ready_log2` of the live length; `None` keeps none.
    ready_log2: Option<u32>,
    spans: Spans,
    live_count: usize,
    live_quanta: u64,
    pub(crate) holes: Holes,
}

impl Arena {
    /// An arena with quanta of `1 << quantum_log2`, no space, and a ledger of its own.
    ///
    /// # Errors
    ///
    /// [`Error::TooLarge`] if positions of such an arena would not fit 64 bits (`quantum_log2` above 32);
    /// [`Error::OutOfMemory`].
    pub fn new(quantum_log2: u32) -> Result<Self, Error> {
        Ledger::largest(quantum_log2).map(|ledger| Arena::over(Arc::new(ledger)))
    }

    /// An arena without space that writes into a ledger. Others may write into the same one, as long as no two manage
    /// parts of one [page](crate::PAGE_QUANTA).
    #[must_use]
    pub fn over(ledger: Arc<Ledger>) -> Self {
        Arena { ready_log2: None, spans: Spans::default(), live_count: 0, live_quanta: 0, holes: Holes::new(ledger) }
    }

    /// The same arena that keeps small freed ranges ready for the next request of their size, as long as they take at
    /// most one part in `1 << share_log2` of the live length. They count as free, but do not merge before they are
    /// [settled](Self::settle) or something else cannot be served.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfMemory`].
    pub fn keeping_ready(mut self, share_log2: u32) -> Result<Self, Error> {
        self.holes.keep_ready()?;
        self.ready_log2 = Some(share_log2);
        Ok(self)
    }

    /// The ledger.
    #[must_use]
    pub const fn ledger(&self) -> &Arc<Ledger> {
        &self.holes.ledger
    }

    /// The smallest length, and what every position is a multiple of.
    #[must_use]
    pub fn quantum(&self) -> u64 {
        1 << self.quantum_log2()
    }

    /// First position that cannot be addressed.
    #[must_use]
    pub fn limit(&self) -> u64 {
        self.position(self.holes.ledger.limit())
    }

    /// Puts a span under management; it is free. Touching spans act as one.
    ///
    /// # Errors
    ///
    /// [`Error::Overlap`] with managed space; [`Error::ZeroLength`], [`Error::NotQuantized`], [`Error::TooLarge`] for
    /// a bad range; [`Error::OutOfMemory`].
    pub fn add(&mut self, span: Range<u64>) -> Result<(), Error> {
        let quanta = self.quanta(&span)?;
        if self.spans.overlaps(&quanta) {
            return Err(Error::Overlap { start: span.start, end: span.end });
        }
        self.holes.reserve_lists()?;
        self.reserve(quanta.start)?;
        if Ledger::needs_mark(quanta.end) {
            self.reserve(quanta.end)?;
        }
        self.spans.reserve()?;
        self.spans.insert(&quanta);
        self.holes.open(&quanta);
        Ok(())
    }

    /// Takes free space out of management.
    ///
    /// # Errors
    ///
    /// [`Error::NotFree`] unless all of it is managed and free; the errors of [`add`](Self::add) for a bad range;
    /// [`Error::OutOfMemory`].
    pub fn remove(&mut self, span: Range<u64>) -> Result<(), Error> {
        let quanta = self.quanta(&span)?;
        let place = self.place_at(&quanta)?;
        self.reserve_parts(place, quanta.end - quanta.start)?;
        self.spans.reserve()?;
        self.holes.carve(place, quanta.end - quanta.start);
        self.spans.remove(&quanta);
        let is_managed = |position| self.spans.containing(position).is_some();
        let before = quanta.start.checked_sub(1).is_some_and(is_managed);
        self.holes.close(&quanta, before, is_managed(quanta.end));
        Ok(())
    }

    /// Allocates a range.
    ///
    /// # Errors
    ///
    /// [`Error::Exhausted`] if no hole can serve it; [`Error::ZeroLength`], [`Error::BadAlignment`],
    /// [`Error::TooLarge`] or [`Error::NotQuantized`] for a bad request; [`Error::OutOfMemory`].
    #[inline]
    pub fn alloc(&mut self, request: &Request) -> Result<Range<u64>, Error> {
        self.try_alloc(request)?.ok_or_else(|| Error::Exhausted {
            len: request.len.next_multiple_of(self.quantum()),
            align: request.align,
            largest: self.largest_hole(),
        })
    }

    /// The same for those who look elsewhere when no hole can serve it, which is `None`.
    ///
    /// # Errors
    ///
    /// As [`alloc`](Self::alloc) otherwise.
    #[inline]
    pub fn try_alloc(&mut self, request: &Request) -> Result<Option<Range<u64>>, Error> {
        let n = self.quanta_for(request.len)?;
        let mask = self.alignment_mask(request.align)?;
        let is_by_size = request.within.is_none() && request.fit == Fit::Tightest;
        if is_by_size
            && mask == 0
            && let Some(start) = self.take_ready(n, request.tag)?
        {
            return Ok(Some(self.now_live(start, n, request.tag)));
        }
        let place = if is_by_size {
            self.find_settling(|holes| holes.tightest(n, mask))
        } else {
            self.search(request, n, mask)?
        };
        place.map(|place| self.take(place, n, request.tag)).transpose()
    }

    /// Looks for a place by address.
    fn search(&mut self, request: &Request, n: u32, mask: u32) -> Result<Option<Place>, Error> {
        let within = request.within.as_ref().map(|within| self.quanta(within)).transpose()?;
        let within = within.unwrap_or(0..MAX_QUANTA);
        self.holes.prepare_search()?;
        Ok(self.find_settling(|holes| match request.fit {
            Fit::Tightest | Fit::Lowest => holes.lowest(n, mask, &within),
            Fit::Highest => holes.highest(n, mask, &within),
        }))
    }

    /// Allocates exactly `range`.
    ///
    /// # Errors
    ///
    /// [`Error::NotFree`] unless all of it is free; the errors of [`alloc`](Self::alloc) for a bad range.
    pub fn alloc_at(&mut self, range: Range<u64>) -> Result<(), Error> {
        let quanta = self.quanta(&range)?;
        let place = self.place_at(&quanta)?;
        self.take(place, quanta.end - quanta.start, 0)?;
        Ok(())
    }

    /// Frees the live range that starts at `start`. Never needs memory.
    ///
    /// # Errors
    ///
    /// [`Error::NotLive`] if no live range starts there: a double free, an interior or a foreign position.
    #[inline]
    pub fn free(&mut self, start: u64) -> Result<Freed, Error> {
        let first = self.managed(start).ok_or(Error::NotLive { at: start })?;
        self.holes.look_ahead(first);
        let end = self.holes.ledger.leave(first).ok_or(Error::NotLive { at: start })?;
        self.live_count -= 1;
        self.live_quanta -= u64::from(end - first);
        let start = first;
        let hole = if self.holes.keep(start, end, self.ready_limit(), self.holes_needed()) {
            start..end
        } else {
            self.holes.release(start, end)
        };
        Ok(Freed { range: self.positions(start..end), hole: self.positions(hole) })
    }

    /// Merges one ready range with the holes around it; `None` if there is none left.
    pub fn settle_one(&mut self) -> Option<Freed> {
        let (range, hole) = self.holes.settle_one()?;
        Some(Freed { range: self.positions(range), hole: self.positions(hole) })
    }

    /// Merges every ready range with the holes around it.
    pub fn settle(&mut self) {
        while self.holes.settle_one().is_some() {}
    }

    /// Whether the ready ranges take more than their share, because live ranges went: time to settle some.
    #[must_use]
    pub fn has_excess_ready(&self) -> bool {
        self.holes.ready_len() > self.ready_limit()
    }

    #[inline]
    fn ready_limit(&self) -> u64 {
        self.ready_log2.map_or(0, |share| self.live_quanta >> share)
    }

    /// Shortens the live range that starts at `start` to `len`, rounded up to the quantum.
    ///
    /// # Errors
    ///
    /// [`Error::NotLive`]; [`Error::BadCut`] unless something remains and something is given back;
    /// [`Error::OutOfMemory`].
    pub fn truncate(&mut self, start: u64, len: u64) -> Result<Freed, Error> {
        let (range, cut, tag) = self.cut(start, len)?;
        self.holes.ledger.reserve_live(range.start, cut - range.start, tag)?;
        self.holes.ledger.shorten(range.start, cut, tag);
        self.live_quanta -= u64::from(range.end - cut);
        let hole = self.holes.release(cut, range.end);
        Ok(Freed { range: self.positions(cut..range.end), hole: self.positions(hole) })
    }

    /// Cuts the live range that starts at `start` in two live ranges with its tag, the first `len` long, rounded up to
    /// the quantum.
    ///
    /// # Errors
    ///
    /// As [`truncate`](Self::truncate).
    pub fn split(&mut self, start: u64, len: u64) -> Result<[Range<u64>; 2], Error> {
        let (range, cut, tag) = self.cut(start, len)?;
        self.holes.ledger.reserve_split(range.start, cut)?;
        self.holes.ledger.split(range.clone(), cut, tag);
        self.live_count += 1;
        Ok([self.positions(range.start..cut), self.positions(cut..range.end)])
    }

    /// Space used only for requests that cannot be served elsewhere, or none. What is live there stays, and what is
    /// freed there is free; so it empties over time. Holes that begin outside are outside.
    ///
    /// # Errors
    ///
    /// [`Error::ZeroLength`], [`Error::NotQuantized`], [`Error::TooLarge`] for a bad range; [`Error::OutOfMemory`].
    pub fn avoid(&mut self, space: Option<Range<u64>>) -> Result<(), Error> {
        let quanta = space.map(|space| self.quanta(&space)).transpose()?;
        self.holes.avoid(quanta.unwrap_or(0..0))
    }

    /// Looks for a place; if there is none, settles the ready ranges and looks again.
    fn find_settling<T>(&mut self, mut find: impl FnMut(&mut Holes) -> Option<T>) -> Option<T> {
        let found = find(&mut self.holes);
        if found.is_some() || self.holes.ready_count() == 0 {
            return found;
        }
        self.settle();
        find(&mut self.holes)
    }

    fn place_at(&mut self, quanta: &Range<u32>) -> Result<Place, Error> {
        let refused =
            Error::NotFree { start: self.position(quanta.start), len: self.position(quanta.end - quanta.start) };
        self.find_settling(|holes| holes.place_at(quanta)).ok_or(refused)
    }

    #[inline]
    fn take(&mut self, place: Place, n: u32, tag: u32) -> Result<Range<u64>, Error> {
        self.reserve_parts(place, n)?;
        self.holes.ledger.reserve_live(place.start, n, tag)?;
        self.holes.carve(place, n);
        Ok(self.now_live(place.start, n, tag))
    }

    /// Takes a ready range for a request.
    #[inline]
    fn take_ready(&mut self, n: u32, tag: u32) -> Result<Option<u32>, Error> {
        let Some(start) = self.holes.peek_ready(n) else { return Ok(None) };
        self.holes.ledger.reserve_live(start, n, tag)?;
        Ok(self.holes.take_ready(n))
    }

    #[inline]
    fn now_live(&mut self, start: u32, n: u32, tag: u32) -> Range<u64> {
        self.live_count += 1;
        self.live_quanta += u64::from(n);
        self.holes.ledger.enter(start..start + n, tag);
        self.positions(start..start + n)
    }

    /// The live range of this arena that starts at a position, and its tag.
    #[inline]
    fn live_at(&self, start: u64) -> Result<(Range<u32>, u32), Error> {
        let first = self.managed(start).ok_or(Error::NotLive { at: start })?;
        let (end, tag) = self.holes.ledger.live_at(first).ok_or(Error::NotLive { at: start })?;
        Ok((first..end, tag))
    }

    /// The quantum that begins at a position, if this arena manages it.
    #[inline]
    fn managed(&self, start: u64) -> Option<u32> {
        let first = self.quantum_number(start).filter(|&first| self.position(first) == start)?;
        self.spans.containing(first).map(|_| first)
    }

    /// The live range at `start`, where to cut it after `len`, and its tag. There is room for a start at the cut.
    fn cut(&mut self, start: u64, len: u64) -> Result<(Range<u32>, u32, u32), Error> {
        let n = self.quanta_for(len)?;
        let (range, tag) = self.live_at(start)?;
        if n >= range.end - range.start {
            let Range { start, end } = self.positions(range);
            return Err(Error::BadCut { at: start + self.position(n), start, end });
        }
        let cut = range.start + n;
        self.reserve(cut)?;
        Ok((range, cut, tag))
    }

    /// How many holes there can come to be without an allocation. `n` live and `r` ready ranges in `s` runs leave room
    /// for `n + r + s` holes, and each free adds at most one hole while it removes a live range: from `h` holes, never
    /// more than `(n + r + s + h) / 2`.
    #[inline]
    fn holes_needed(&self) -> usize {
        (self.live_count + self.spans.count() + self.holes.records()) / 2
    }

    /// Secures what this operation and all later frees may need: room for a start at `position`, for the
    /// [holes](Self::holes_needed), and for some more ready ranges.
    fn reserve(&mut self, position: u32) -> Result<(), Error> {
        self.holes.reserve(self.holes_needed() + self.holes.ready_count() + 4)?;
        self.holes.reserve_start(position)
    }

    /// The same for the parts of a hole from which `n` quanta are taken.
    #[inline]
    fn reserve_parts(&mut self, place: Place, n: u32) -> Result<(), Error> {
        self.holes.reserve(self.holes_needed() + self.holes.ready_count() + 4)?;
        self.holes.reserve_parts(place, n)
    }
}
