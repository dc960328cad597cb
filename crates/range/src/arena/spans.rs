//! Space comes under management and goes. The live map knows where it is: spans are listed nowhere else.

use core::ops::Range;

use super::Arena;
use crate::Error;
use crate::LiveMap;
use crate::holes::Id;
use crate::live_map::{MAX_QUANTA, Part, needs_mark};

impl Arena {
    /// Puts a span under management; it is free. Touching spans act as one. When all of it is free, it can be
    /// [removed](Self::remove) without memory.
    ///
    /// # Errors
    ///
    /// [`Error::Overlap`] with space of this arena; [`Error::SharedPage`] with that of another one;
    /// [`Error::ZeroLength`], [`Error::NotQuantized`], [`Error::TooLarge`] for a bad range; [`Error::OutOfMemory`].
    pub fn add(&mut self, map: &LiveMap, span: Range<u64>) -> Result<(), Error> {
        let part = self.part(map);
        let Range { start, end } = self.quanta(&span)?;
        let end_before = self.managed_end(part, start);
        let next = self.ranges_in(map, start..end + 1).next().map(|(range, _)| range.start);
        if end_before > start || next.is_some_and(|next| next < end) {
            return Err(Error::Overlap(span.start));
        }
        let managed = self.managed_quanta + u64::from(end - start);
        self.holes.reserve_longest(u32::try_from(managed).unwrap_or(MAX_QUANTA))?;
        self.holes.reserve(part, self.holes_needed() + 1)?;
        let page = part.claim(start)?;
        let (joins_before, joins_after) = (start > 0 && end_before == start, next == Some(end));
        if !joins_after && needs_mark(end) {
            part.claim(end)?.add_start(end);
        }
        page.add_start(start);
        self.managed_quanta = managed;
        self.runs = self.runs + 1 - usize::from(joins_before) - usize::from(joins_after);
        self.added += 1;
        self.holes.release(part, page, start, end - start, false);
        Ok(())
    }

    /// Takes free space out of management. Needs no memory for a span that was [added](Self::add).
    ///
    /// # Errors
    ///
    /// [`Error::NotFree`] unless all of it is managed and free, and not withheld; the errors of [`add`](Self::add) for a
    /// bad range; [`Error::OutOfMemory`].
    pub fn remove(&mut self, map: &LiveMap, span: Range<u64>) -> Result<(), Error> {
        let part = self.part(map);
        let Range { start, end } = self.quanta(&span)?;
        self.holes.reserve(part, self.holes_needed())?;
        let fits = |id: &Id| end <= self.holes.record(*id).end() && !self.holes.record(*id).is_withheld();
        let id = self.holes.holding(part, start).filter(fits).ok_or(Error::NotFree(span.start))?;
        let page = part.claim(start)?;
        self.claim_end(part, id, start, end - start)?;
        self.holes.carve(part, page, id, start, end - start);
        let is_before = start > 0 && self.managed_end(part, start) == start;
        if !(is_before && needs_mark(start)) {
            page.remove_start(start);
        }
        let after = part.start_at(end);
        let is_after = after.is_some_and(|after| self.range_at(&after).is_some());
        if let Some(mark) = after.filter(|_| !is_after) {
            mark.page.remove_start(end);
        }
        part.leave(start..end);
        self.added = self.added.saturating_sub(1);
        self.managed_quanta -= u64::from(end - start);
        self.runs = self.runs + usize::from(is_before) + usize::from(is_after) - 1;
        Ok(())
    }

    /// Says how many spans there are that are removed as a whole each, where some that were added are one from now on.
    pub fn count_spans(&mut self, spans: usize) {
        self.added = spans;
    }

    /// Where the last range ends that starts before a position; 0 if none does.
    fn managed_end(&self, part: Part<'_>, at: u32) -> u32 {
        let last = at.checked_sub(1).and_then(|before| part.last_start(before));
        last.and_then(|start| self.range_at(&start)).map_or(0, |(range, _)| range.end)
    }
}
