//! In which of a pool's shards a request is served.
//!
//! In the caller's own if it has room. Who takes from another's makes both wait, now and when it frees what it took, and
//! the memory of one processor moves to the other and back. On the other hand a block less is mapped for it. So what
//! another has free is taken in four cases:
//!
//! - the request is long and its own hole would be cut badly, while the other's fits;
//! - the caller has no block yet, and nobody else is there at that moment;
//! - the other [lends](Shard::lends) it, since it has more free than live, or a block;
//! - nothing as large can be mapped.
//!
//! So shards cost at most a block each beside what one would have. Two threads that fill blocks at the same time would fill
//! each other's without the third rule: they are 1.8 times as fast as one with it, and 1.6 times without (T4 of the bench).

use execmem_types::Extent;

use super::Pool;
use crate::Error;
use crate::region::Want;
use crate::shard::{Placed, Shard, Site};
use crate::sync::{Locking, Ordering};

/// Requests as long as this take a tight hole of another shard if their own would be cut badly: what is left of a long
/// hole serves no other long request, and blocks fill up. Shorter ones find a tight hole everywhere.
const LONG_BYTES: u64 = 32 << 10;

/// A hole that is longer than a request by more than this part of it is cut badly.
const SLACK: u64 = 8;

/// What a shard answers; `None` if it was busy.
type Answer = Option<Result<Option<Extent>, Error>>;

impl<L: Locking> Pool<L> {
    /// Carves a place out of the blocks of a window. `None` if there is none that the caller should have.
    #[inline]
    pub(crate) fn take(&self, window: usize, want: &Want) -> Result<Placed, Error> {
        let lane = L::lane();
        let number = self.number_of(lane);
        if want.len >= LONG_BYTES
            && let Some(placed) = self.take_tighter(window, want, number)?
        {
            return Ok(Some(placed));
        }
        let take = |shard: &mut Shard| {
            let taken = shard.take(window, want)?;
            Ok::<_, Error>(taken.ok_or_else(|| shard.has_blocks(window)))
        };
        let own = |shard: &mut Shard| {
            shard.last_lane = lane;
            take(shard)
        };
        let shard = self.numbered(number);
        let tried = shard.try_with(own).unwrap_or_else(|| {
            shard.with(|shard| {
                L::met(shard.last_lane);
                // Whoever moved leaves no trace, or the one it met would take it for still there and move as well.
                if L::lane() == lane { own(shard) } else { take(shard) }
            })
        });
        match tried? {
            Ok(extent) => Ok(Some((extent, Site::new(number, window)))),
            Err(has_blocks) => self.take_elsewhere(window, want, number, has_blocks),
        }
    }

    /// Carves a place out of a hole of another shard that is hardly longer, if the caller's own would be cut badly.
    #[cold]
    fn take_tighter(&self, window: usize, want: &Want, own: usize) -> Result<Placed, Error> {
        let rest_in = |shard: &Shard| Some(shard.window(window)?.arena().tightest_hole(want.len)? - want.len);
        let is_small = |rest: u64| rest <= want.len / SLACK;
        let mut others = self.others_in_use(own).peekable();
        if others.peek().is_none() || self.numbered(own).with(|shard| rest_in(shard).is_none_or(is_small)) {
            return Ok(None);
        }
        let take_if_small = |shard: &mut Shard| {
            if rest_in(shard).is_some_and(is_small) { shard.take(window, want) } else { Ok(None) }
        };
        first_of(window, others, |number| self.numbered(number).try_with(take_if_small))
    }

    /// Looks into all other shards that ever had a block. A caller who has no block of its own in the window takes
    /// anything and waits for nobody; others wait, and take what is lent.
    fn take_elsewhere(&self, window: usize, want: &Want, own: usize, has_blocks: bool) -> Result<Placed, Error> {
        let block = self.descriptor.granularities().next().map_or(0, |page| page.bytes());
        let is_short = self.is_short.load(Ordering::Relaxed);
        let borrow = |shard: &mut Shard| {
            if is_short || shard.lends(window, block) { shard.take(window, want) } else { Ok(None) }
        };
        first_of(window, self.others_in_use(own), |number| match has_blocks {
            true => Some(self.numbered(number).with(borrow)),
            false => self.numbered(number).try_with(|shard| shard.take(window, want)),
        })
    }

    /// Somebody asked for a large block, and had it or not. While none can be had, others do not try before all are full.
    pub(crate) fn note_large(&self, was_had: bool) {
        self.is_short.store(!was_had, Ordering::Relaxed);
    }

    /// Carves a place out of whatever block has one: for callers who can have no large block.
    #[cold]
    pub(crate) fn take_anywhere(&self, window: usize, want: &Want) -> Result<Placed, Error> {
        let all = 0..self.shards.len();
        first_of(window, all, |number| Some(self.numbered(number).with(|shard| shard.take(window, want))))
    }
}

/// The first place that a shard gives.
fn first_of(
    window: usize,
    numbers: impl Iterator<Item = usize>,
    take_in: impl Fn(usize) -> Answer,
) -> Result<Placed, Error> {
    for number in numbers {
        if let Some(extent) = take_in(number).transpose()?.flatten() {
            return Ok(Some((extent, Site::new(number, window))));
        }
    }
    Ok(None)
}
