//! In which of a pool's shards a request is served.
//!
//! In the caller's own if it has room. A thread that takes from another's shard makes both wait, now and when it frees what it
//! took, and the memory of one processor moves to the other and back. On the other hand a block less is mapped for it. So a
//! thread *steals* from another shard in four cases:
//!
//! - the request is long and its own hole would be cut badly, while the other's fits;
//! - its own shard has no block yet, and no other thread is in the other shard at that moment;
//! - the other shard [can spare](Shard::can_spare) it, since it has more free than live, or a block;
//! - nothing as large can be mapped.
//!
//! So shards cost at most a block each beside what one would have. Two threads that fill blocks at the same time would fill
//! each other's without the third rule: they are 1.8 times as fast as one with it, and 1.6 times without (T4 of the bench).

use super::{Pool, Shard, Taken};
use crate::Error;
use crate::base::handle::Location;
use crate::region::Want;
use crate::sync::{Locking, Ordering};

/// Requests as long as this take a tight hole of another shard if their own would be cut badly: what is left of a long
/// hole serves no other long request, and blocks fill up. Shorter ones find a tight hole everywhere.
const LONG_BYTES: u64 = 32 << 10;

/// A hole that is longer than a request by more than this part of it is cut badly.
const SLACK: u64 = 8;

/// What a shard answers; `None` if it was busy.
type Answer = Option<Result<Option<u64>, Error>>;

impl<L: Locking> Pool<L> {
    /// Carves a place out of the blocks of a window. `None` if there is none that the caller should have.
    #[inline]
    pub(super) fn take(&self, number: usize, want: &Want) -> Result<Option<Taken>, Error> {
        let hint = L::shard_hint();
        let own = self.number_of(hint);
        if want.len >= LONG_BYTES
            && let Some(taken) = self.take_tighter(number, want, own)?
        {
            return Ok(Some(taken));
        }
        let window = self.window(number);
        let take = |shard: &mut Shard| {
            shard.last_hint = hint;
            shard.take(number, window, want)
        };
        let taken = match self.numbered(own).try_with(take) {
            Some(taken) => taken?,
            None => self.take_contended(number, want, hint)?,
        };
        match taken {
            Some(start) => Ok(Some(Taken { start, location: Location::new(own, number) })),
            None => self.steal(number, want, own),
        }
    }

    /// The same when another thread is in the shard. A thread that gets another hint for that is not recorded: the next one
    /// would see it as contending, and get another hint, too.
    #[cold]
    fn take_contended(&self, number: usize, want: &Want, hint: usize) -> Result<Option<u64>, Error> {
        self.numbered(self.number_of(hint)).with(|shard| {
            L::contended(shard.last_hint);
            if L::shard_hint() == hint {
                shard.last_hint = hint;
            }
            shard.take(number, self.window(number), want)
        })
    }

    /// Carves a place out of a hole of another shard that is hardly longer, if the caller's own would be cut badly.
    #[cold]
    fn take_tighter(&self, number: usize, want: &Want, own: usize) -> Result<Option<Taken>, Error> {
        let window = self.window(number);
        let rest_in = |shard: &Shard| Some(shard.region(number)?.tightest_hole(want.len)? - want.len);
        let is_small = |rest: u64| rest <= want.len / SLACK;
        let mut others = self.others_in_use(own).peekable();
        if others.peek().is_none() || self.numbered(own).with(|shard| rest_in(shard).is_none_or(is_small)) {
            return Ok(None);
        }
        let take_if_small = |shard: &mut Shard| {
            if rest_in(shard).is_some_and(is_small) { shard.take(number, window, want) } else { Ok(None) }
        };
        first_of(number, others, |other| self.numbered(other).try_with(take_if_small))
    }

    /// Looks into all other shards that ever had a block. A thread whose shard has no block in the window takes anything and
    /// waits for no other; others wait, and take what can be spared.
    #[cold]
    fn steal(&self, number: usize, want: &Want, own: usize) -> Result<Option<Taken>, Error> {
        let mut others = self.others_in_use(own).peekable();
        if others.peek().is_none() {
            return Ok(None);
        }
        let window = self.window(number);
        let block = self.row.descriptor.granularities().next().map_or(0, |page| page.bytes());
        let is_short = self.is_short.load(Ordering::Relaxed);
        let take_spare = |shard: &mut Shard| {
            if is_short || shard.can_spare(number, block) { shard.take(number, window, want) } else { Ok(None) }
        };
        let has_blocks = self.numbered(own).with(|shard| shard.has_blocks(number));
        first_of(number, others, |other| match has_blocks {
            true => Some(self.numbered(other).with(take_spare)),
            false => self.numbered(other).try_with(|shard| shard.take(number, window, want)),
        })
    }

    /// A large block was asked for, and had or not. While none can be had, none is tried before all holes are full.
    pub(super) fn note_large(&self, was_had: bool) {
        self.is_short.store(!was_had, Ordering::Relaxed);
    }

    /// Carves a place out of any block that has one: for threads that can have no large block.
    #[cold]
    pub(super) fn take_from_any(&self, number: usize, want: &Want) -> Result<Option<Taken>, Error> {
        let window = self.window(number);
        let all = 0..self.shards.len();
        first_of(number, all, |other| Some(self.numbered(other).with(|shard| shard.take(number, window, want))))
    }
}

/// The first place that a shard gives.
fn first_of(
    window: usize,
    shards: impl Iterator<Item = usize>,
    take_in: impl Fn(usize) -> Answer,
) -> Result<Option<Taken>, Error> {
    for shard in shards {
        if let Some(start) = take_in(shard).transpose()?.flatten() {
            return Ok(Some(Taken { start, location: Location::new(shard, window) }));
        }
    }
    Ok(None)
}
