//! The arena: the only place where spans, the live map and holes change, and always together.

mod audit;
mod query;
mod spans;

use core::ops::Range;

pub use audit::Violation;
pub use query::State;

use crate::holes::{Holes, Id};
use crate::live_map::{MAX_QUANTA, Part, share_page};
use crate::{Error, LiveMap};

/// What [`Arena::free`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Freed {
    /// Length of the range that is no longer live.
    pub len: u64,
    /// Length of the hole that it is part of now; 0 if that is withheld.
    pub hole_len: u64,
}

/// An allocator over spans of a coordinate space of less than 2³¹ quanta.
///
/// # Invariants (I1, I2)
///
/// Live ranges and holes, some of which may be withheld, tile every span exactly; no two holes of one state touch.
/// [`audit`](Self::audit) checks both.
#[derive(Debug)]
pub struct Arena {
    quantum_log2: u32,
    limit: u32,
    /// Its number in the live map.
    number: u32,
    holes: Holes,
    live_count: usize,
    live_quanta: u64,
    /// Spans that were added and not removed.
    added: usize,
    /// Maximal runs of managed space, and quanta in them.
    runs: usize,
    managed_quanta: u64,
}

impl Arena {
    /// An arena without space that writes into a live map. Others may write into the same one, as long as no two manage
    /// parts of one [page](crate::PAGE_QUANTA). Allocates nothing.
    #[must_use]
    pub fn over(map: &LiveMap) -> Self {
        let (quantum_log2, limit, number) = (map.quantum_log2(), map.limit(), map.number_arena());
        let holes = Holes::new();
        Arena {
            quantum_log2,
            limit,
            number,
            holes,
            live_count: 0,
            live_quanta: 0,
            added: 0,
            runs: 0,
            managed_quanta: 0,
        }
    }

    /// The smallest length, and what every position is a multiple of.
    #[must_use]
    #[inline]
    pub fn quantum(&self) -> u64 {
        1 << self.quantum_log2()
    }

    /// First position that cannot be addressed.
    #[must_use]
    pub fn limit(&self) -> u64 {
        self.position(self.limit)
    }

    /// What it writes in its live map.
    #[inline]
    const fn part<'m>(&self, map: &'m LiveMap) -> Part<'m> {
        Part::new(map, self.number)
    }

    /// Allocates `len`, rounded up to the quantum, where a hole fits most tightly, at a multiple of `align`, and returns
    /// where it starts. `None` if no hole can serve it.
    ///
    /// `align` is a power of two; a quantum or less asks for nothing. [`LiveMap::find`] tells the `tag`, of [`TAG_BITS`](crate::TAG_BITS),
    /// beside the place; one that is not the first that was used nearby costs 8 bytes and a little time.
    ///
    /// # Errors
    ///
    /// [`Error::ZeroLength`], [`Error::TooLarge`], [`Error::BadAlignment`], [`Error::BadTag`] for a bad request;
    /// [`Error::OutOfMemory`].
    #[inline]
    pub fn try_alloc(&mut self, map: &LiveMap, len: u64, align: u64, tag: u32) -> Result<Option<u64>, Error> {
        let (n, mask) = (self.quanta_for(len)?, self.alignment_mask(align)?);
        let part = self.part(map);
        self.holes.reserve(part, self.holes_needed())?;
        let Some((id, start)) = self.holes.tightest(n, mask) else { return Ok(None) };
        let page = part.claim(start)?;
        self.claim_end(part, id, start, n)?;
        let is_inline = page.reserve(start, n, tag)?;
        self.holes.carve(part, page, id, start, n);
        page.enter(start, n, tag, is_inline);
        self.live_count += 1;
        self.live_quanta += u64::from(n);
        Ok(Some(self.position(start)))
    }

    /// Makes room for a start where `n` quanta in a hole end, if it goes on there.
    #[inline]
    fn claim_end(&self, part: Part<'_>, id: Id, start: u32, n: u32) -> Result<(), Error> {
        let end = start + n;
        if share_page(start, end) || end == self.holes.record(id).end() { Ok(()) } else { part.claim(end).map(drop) }
    }

    /// Frees the live range that starts at `start`. Never needs memory.
    ///
    /// # Errors
    ///
    /// [`Error::NotLive`] if no live range starts there: a double free, an interior or a foreign position.
    #[inline]
    pub fn free(&mut self, map: &LiveMap, start: u64) -> Result<Freed, Error> {
        self.end(map, start, false).ok_or(Error::NotLive(start))
    }

    /// Frees the live range that starts at `start`, and withholds it: no request is served from it until it is
    /// [released](Self::release). It becomes one with withheld neighbours, and where memory for bookkeeping is short with
    /// others, too. Never needs memory.
    ///
    /// # Errors
    ///
    /// As [`free`](Self::free).
    #[cold]
    pub fn free_withheld(&mut self, map: &LiveMap, start: u64) -> Result<Freed, Error> {
        self.end(map, start, true).ok_or(Error::NotLive(start))
    }

    /// Ends the life of a range.
    #[inline(always)]
    fn end(&mut self, map: &LiveMap, start: u64, is_withheld: bool) -> Option<Freed> {
        let part = self.part(map);
        let at = self.quantum_at(start)?;
        let page = part.page(at)?;
        let len = page.leave(at)?;
        self.live_count -= 1;
        self.live_quanta -= u64::from(len);
        let hole_len = self.holes.release(part, page, at, len, is_withheld);
        Some(Freed { len: self.position(len), hole_len: self.position(hole_len) })
    }

    /// Serves requests from a withheld hole again, and from what it touches as one. Never needs memory. Returns the length of
    /// that hole.
    ///
    /// # Errors
    ///
    /// [`Error::NotWithheld`] if none starts at `start`.
    pub fn release(&mut self, map: &LiveMap, start: u64) -> Result<u64, Error> {
        let part = self.part(map);
        let len = self.quantum_at(start).and_then(|at| self.holes.end_withholding(part, at));
        len.map(|len| self.position(len)).ok_or(Error::NotWithheld(start))
    }

    /// Cuts the live range that starts at `start` in two live ranges with its tag, the first `len` long, rounded up to
    /// the quantum. Returns the second.
    ///
    /// # Errors
    ///
    /// [`Error::NotLive`]; [`Error::ZeroLength`], [`Error::BadCut`] unless both parts have something;
    /// [`Error::OutOfMemory`].
    pub fn split(&mut self, map: &LiveMap, start: u64, len: u64) -> Result<Range<u64>, Error> {
        let (n, part) = (self.quanta_for(len)?, self.part(map));
        let found = self.quantum_at(start).and_then(|at| part.start_at(at));
        let found = found.and_then(|start| Some((start, start.live()?)));
        let (first, (whole, tag)) = found.ok_or(Error::NotLive(start))?;
        let (page, at, cut) = (first.page, first.at, first.at.saturating_add(n));
        if n >= whole {
            return Err(Error::BadCut(self.position(cut)));
        }
        self.holes.reserve(part, self.holes_needed())?;
        let second = part.claim(cut)?;
        page.reserve_split(at, second, cut, tag)?;
        page.split(at, whole, second, cut, tag);
        self.live_count += 1;
        Ok(self.positions(cut..at + whole))
    }

    /// Secures the memory that [`drain`](Self::drain) takes.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfMemory`].
    pub fn prepare_to_drain(&mut self) -> Result<(), Error> {
        self.holes.prepare_to_drain()
    }

    /// Serves requests from a space only if they cannot be served elsewhere, or ends that. What is live there stays, and
    /// what is freed there is free; so it empties over time. Holes that begin outside are outside. Looks at every hole.
    /// Takes no memory.
    ///
    /// # Errors
    ///
    /// [`Error::NotPrepared`] unless [prepared](Self::prepare_to_drain); [`Error::ZeroLength`], [`Error::NotQuantized`],
    /// [`Error::TooLarge`] for a bad range.
    pub fn drain(&mut self, space: Option<Range<u64>>) -> Result<(), Error> {
        let quanta = space.map(|space| self.quanta(&space)).transpose()?;
        self.holes.drain(quanta.unwrap_or(0..0))
    }

    /// Gives back the bookkeeping that only what is gone needed, if there is memory to make the rest anew. Gives back all
    /// of it if nothing is managed.
    pub fn trim(&mut self, map: &LiveMap) {
        match self.runs {
            0 => self.holes = Holes::new(),
            _ => self.holes.trim(self.part(map), self.holes_needed()),
        }
    }

    /// How many holes there can come to be if one more range or run does, and without further allocations. `n` live ranges
    /// in `s` runs leave room for `n + s` holes, and each free adds at most one hole while it removes a live range: from
    /// `h` holes, never more than `(n + s + h) / 2`, or one withheld hole touches another. There are as many runs as spans, if all between them are removed.
    #[inline]
    fn holes_needed(&self) -> usize {
        let holes = self.holes.count();
        holes.max((self.live_count + self.runs.max(self.added) + holes) / 2) + 2
    }
}

/// Positions and lengths as callers say them, and the quanta that an arena counts in.
impl Arena {
    #[inline]
    fn quantum_log2(&self) -> u32 {
        self.quantum_log2
    }

    /// One less than an alignment in quanta.
    #[inline]
    fn alignment_mask(&self, align: u64) -> Result<u32, Error> {
        // Zero wraps around, and is looked at.
        if align.wrapping_sub(1) < self.quantum() { Ok(0) } else { self.large_alignment_mask(align) }
    }

    fn large_alignment_mask(&self, align: u64) -> Result<u32, Error> {
        if !align.is_power_of_two() {
            return Err(Error::BadAlignment(align));
        }
        let mask = u32::try_from((align >> self.quantum_log2()) - 1).ok().filter(|&mask| mask < MAX_QUANTA);
        mask.ok_or(Error::TooLarge(align))
    }

    /// The number of quanta that hold a length.
    #[inline]
    fn quanta_for(&self, len: u64) -> Result<u32, Error> {
        match u32::try_from(len.wrapping_sub(1) >> self.quantum_log2()) {
            Ok(last) if last < MAX_QUANTA => Ok(last + 1),
            _ => Err(if len == 0 { Error::ZeroLength } else { Error::TooLarge(len) }),
        }
    }

    /// The number of the quantum that holds a position.
    fn quantum_holding(&self, position: u64) -> Option<u32> {
        u32::try_from(position >> self.quantum_log2()).ok().filter(|&number| number < MAX_QUANTA)
    }

    /// The number of the quantum that begins at a position.
    #[inline]
    fn quantum_at(&self, position: u64) -> Option<u32> {
        let number = u32::try_from(position >> self.quantum_log2()).ok()?;
        (self.position(number) == position).then_some(number)
    }

    /// A range of whole quanta.
    fn quanta(&self, range: &Range<u64>) -> Result<Range<u32>, Error> {
        if range.start >= range.end {
            return Err(Error::ZeroLength);
        }
        if range.end > self.limit() {
            return Err(Error::TooLarge(range.end));
        }
        let number = |value: u64| self.quantum_at(value).ok_or(Error::NotQuantized(value));
        Ok(number(range.start)?..number(range.end)?)
    }

    /// Where a quantum starts.
    #[inline]
    fn position(&self, quanta: u32) -> u64 {
        u64::from(quanta) << self.quantum_log2()
    }

    /// The positions of a range of quanta.
    fn positions(&self, quanta: Range<u32>) -> Range<u64> {
        self.position(quanta.start)..self.position(quanta.end)
    }
}
