//! The arena: the only place where spans, live starts and holes change, and always together.

mod query;

use core::ops::Range;

use crate::holes::{Holes, Place};
use crate::spans::Spans;
use crate::{Error, Fit, Request};

/// Quanta an arena can address: positions are 31-bit quantum numbers.
const LIMIT: u32 = 1 << 31;

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
    quantum_log2: u32,
    /// Ready ranges may take one part in `1 << ready_log2` of the live length; `None` keeps none.
    ready_log2: Option<u32>,
    spans: Spans,
    live_count: usize,
    live_quanta: u64,
    pub(crate) holes: Holes,
}

impl Arena {
    /// An arena with quanta of `1 << quantum_log2` and no space.
    ///
    /// # Errors
    ///
    /// [`Error::TooLarge`] if positions of such an arena would not fit 64 bits (`quantum_log2` above 32).
    pub fn new(quantum_log2: u32) -> Result<Self, Error> {
        if quantum_log2 > 32 {
            return Err(Error::TooLarge { value: u64::from(quantum_log2), limit: 33 });
        }
        Ok(Arena {
            quantum_log2,
            ready_log2: None,
            spans: Spans::default(),
            live_count: 0,
            live_quanta: 0,
            holes: Holes::default(),
        })
    }

    /// The same arena that keeps small freed ranges ready for the next request of their size, as long as they take at
    /// most one part in `1 << share_log2` of the live length. They count as free, but do not merge before they are
    /// [settled](Self::settle) or something else cannot be served.
    #[must_use]
    pub const fn keeping_ready(mut self, share_log2: u32) -> Self {
        self.ready_log2 = Some(share_log2);
        self
    }

    /// The smallest length, and what every position is a multiple of.
    #[must_use]
    pub const fn quantum(&self) -> u64 {
        1 << self.quantum_log2
    }

    /// First position that cannot be addressed.
    #[must_use]
    pub const fn limit(&self) -> u64 {
        (LIMIT as u64) << self.quantum_log2
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
        self.reserve(quanta.start)?;
        self.reserve(quanta.end)?;
        self.spans.reserve()?;
        if !self.holes.remove_wall(quanta.start) {
            self.holes.cut(quanta.start);
        }
        if self.spans.containing(quanta.end).is_none() {
            self.holes.cut(quanta.end);
            self.holes.add_wall(quanta.end);
        }
        self.spans.insert(&quanta);
        self.holes.release(quanta.start, quanta.end);
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
        self.reserve(quanta.start)?;
        self.reserve(quanta.end)?;
        self.spans.reserve()?;
        self.holes.carve(place, quanta.end - quanta.start);
        self.spans.remove(&quanta);
        let before = quanta.start.checked_sub(1).and_then(|last| self.spans.containing(last));
        if before.is_some() {
            self.holes.add_wall(quanta.start);
        } else {
            self.holes.uncut(quanta.start);
        }
        if self.holes.remove_wall(quanta.end) {
            self.holes.uncut(quanta.end);
        }
        Ok(())
    }

    /// Allocates a range.
    ///
    /// # Errors
    ///
    /// [`Error::Exhausted`] if no hole can serve it; [`Error::ZeroLength`], [`Error::BadAlignment`],
    /// [`Error::TooLarge`] or [`Error::NotQuantized`] for a bad request; [`Error::OutOfMemory`].
    pub fn alloc(&mut self, request: &Request) -> Result<Range<u64>, Error> {
        let n = self.quanta_for(request.len)?;
        let mask = self.alignment_mask(request.align)?;
        let within = request.within.as_ref().map(|within| self.quanta(within)).transpose()?;
        let anywhere = request.fit == Fit::Tightest && within.is_none();
        if anywhere
            && mask == 0
            && let Some(start) = self.holes.take_ready(n)
        {
            return Ok(self.now_live(start, n));
        }
        let within = within.unwrap_or(0..LIMIT);
        let find = |holes: &mut Holes| match request.fit {
            Fit::Tightest if anywhere => holes.tightest(n, mask),
            Fit::Tightest | Fit::Lowest => holes.lowest(n, mask, &within),
            Fit::Highest => holes.highest(n, mask, &within),
        };
        let place = self.find_settling(find).ok_or_else(|| Error::Exhausted {
            len: self.position(n),
            align: request.align,
            largest: self.largest_hole(),
        })?;
        self.take(place, n)
    }

    /// Allocates exactly `range`.
    ///
    /// # Errors
    ///
    /// [`Error::NotFree`] unless all of it is free; the errors of [`alloc`](Self::alloc) for a bad range.
    pub fn alloc_at(&mut self, range: Range<u64>) -> Result<(), Error> {
        let quanta = self.quanta(&range)?;
        let place = self.place_at(&quanta)?;
        self.take(place, quanta.end - quanta.start)?;
        Ok(())
    }

    /// Frees the live range that starts at `start`. Never needs memory.
    ///
    /// # Errors
    ///
    /// [`Error::NotLive`] if no live range starts there: a double free, an interior or a foreign position.
    pub fn free(&mut self, start: u64) -> Result<Freed, Error> {
        let first = self.live_at(start)?;
        let end = self.holes.end_of(first);
        let n = end - first;
        self.live_count -= 1;
        self.live_quanta -= u64::from(n);
        let hole = if self.holes.may_keep(n, self.ready_limit(), self.records_needed() + 1) {
            self.holes.keep(first, end);
            first..end
        } else {
            self.holes.release(first, end)
        };
        Ok(Freed { range: self.positions(first..end), hole: self.positions(hole) })
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
        let n = self.quanta_for(len)?;
        let range = self.cut(start, n)?;
        let cut = range.start + n;
        self.live_quanta -= u64::from(range.end - cut);
        let hole = self.holes.release(cut, range.end);
        Ok(Freed { range: self.positions(cut..range.end), hole: self.positions(hole) })
    }

    /// Cuts the live range that starts at `start` in two live ranges, the first `len` long, rounded up to the quantum.
    ///
    /// # Errors
    ///
    /// As [`truncate`](Self::truncate).
    pub fn split(&mut self, start: u64, len: u64) -> Result<[Range<u64>; 2], Error> {
        let n = self.quanta_for(len)?;
        let range = self.cut(start, n)?;
        let cut = range.start + n;
        self.live_count += 1;
        Ok([self.positions(range.start..cut), self.positions(cut..range.end)])
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

    fn take(&mut self, place: Place, n: u32) -> Result<Range<u64>, Error> {
        self.reserve(place.start)?;
        if let Some(remainder) = self.holes.remainder(place, n) {
            self.reserve(remainder)?;
        }
        self.holes.carve(place, n);
        Ok(self.now_live(place.start, n))
    }

    fn now_live(&mut self, start: u32, n: u32) -> Range<u64> {
        self.live_count += 1;
        self.live_quanta += u64::from(n);
        self.positions(start..start + n)
    }

    fn live_at(&self, start: u64) -> Result<u32, Error> {
        let first = self.quantum_number(start).filter(|&first| self.position(first) == start);
        first.filter(|&first| self.holes.state_at(first) == Some(None)).ok_or(Error::NotLive { at: start })
    }

    /// Cuts the live range at `start` after `n` quanta and returns it.
    fn cut(&mut self, start: u64, n: u32) -> Result<Range<u32>, Error> {
        let first = self.live_at(start)?;
        let end = self.holes.end_of(first);
        if n >= end - first {
            let Range { start, end } = self.positions(first..end);
            return Err(Error::BadCut { at: start + self.position(n), start, end });
        }
        self.reserve(first + n)?;
        self.holes.cut(first + n);
        Ok(first..end)
    }

    /// How many records there can come to be without an allocation. `n` live and `r` ready ranges in `s` runs leave
    /// room for `n + r + s` holes, and each free adds at most one hole while it removes a live range: from `h` holes,
    /// never more than `(n + r + s + h) / 2`. Ready ranges and walls have records too.
    fn records_needed(&self) -> usize {
        let (ready, walls) = (self.holes.ready_count(), self.spans.count());
        (self.live_count + ready + walls + self.holes.count()) / 2 + ready + walls
    }

    /// Secures what this operation and all later frees may need: room for a range at `position`, and the
    /// [records](Self::records_needed).
    fn reserve(&mut self, position: u32) -> Result<(), Error> {
        self.holes.reserve(position, self.records_needed() + 4)
    }

    fn alignment_mask(&self, align: u64) -> Result<u32, Error> {
        if !align.is_power_of_two() {
            return Err(Error::BadAlignment { align });
        }
        let quanta = (align >> self.quantum_log2).max(1);
        let mask = u32::try_from(quanta - 1).ok().filter(|&mask| mask < LIMIT);
        mask.ok_or(Error::TooLarge { value: align, limit: self.limit() })
    }

    fn quanta_for(&self, len: u64) -> Result<u32, Error> {
        if len == 0 {
            return Err(Error::ZeroLength);
        }
        let rounded = ((len - 1) >> self.quantum_log2) + 1;
        let quanta = u32::try_from(rounded).ok().filter(|&quanta| quanta <= LIMIT);
        quanta.ok_or(Error::TooLarge { value: len, limit: self.limit() })
    }

    /// The number of the quantum that contains a position.
    fn quantum_number(&self, position: u64) -> Option<u32> {
        u32::try_from(position >> self.quantum_log2).ok().filter(|&number| number < LIMIT)
    }

    fn quanta(&self, range: &Range<u64>) -> Result<Range<u32>, Error> {
        if range.start >= range.end {
            return Err(Error::ZeroLength);
        }
        if range.end > self.limit() {
            return Err(Error::TooLarge { value: range.end, limit: self.limit() });
        }
        let number = |value: u64| match value % self.quantum() {
            0 => Ok(u32::try_from(value >> self.quantum_log2).unwrap_or(LIMIT)),
            _ => Err(Error::NotQuantized { value, quantum: self.quantum() }),
        };
        Ok(number(range.start)?..number(range.end)?)
    }

    const fn position(&self, quanta: u32) -> u64 {
        (quanta as u64) << self.quantum_log2
    }

    fn positions(&self, quanta: Range<u32>) -> Range<u64> {
        self.position(quanta.start)..self.position(quanta.end)
    }
}
