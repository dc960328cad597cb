//! A picture of what every kind and pool has. Takes no heap.

use execmem_types::{Backend, Extent, KindSet, MAX_GRANULARITIES, MAX_WINDOWS, PageSize, PerKind, Row};

use super::Engine;
use crate::base::counters::{Counters, KindStats};
use crate::memory::Memory;
use crate::pool::Pool;
use crate::region::{Region, Window};
use crate::sync::Locking;

/// The memory of one pool: a kind that has an allocator of its own, and the kinds that share it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PoolStats {
    leaves: [Option<(PageSize, u64)>; MAX_GRANULARITIES],
    windows: [Option<(Extent, u64)>; MAX_WINDOWS],
    /// Blocks.
    pub blocks: u64,
    /// Bytes mapped for this pool; donated bytes are not.
    pub bytes_mapped: u64,
    /// Bytes donated.
    pub bytes_donated: u64,
    /// Bytes in blocks that are not live and can be.
    pub bytes_free: u64,
    /// Bytes that were freed and are not handed out before their content is destroyed, which the backend refused or which
    /// was deferred.
    pub bytes_withheld: u64,
    /// The longest free range in bytes.
    pub largest_free: u64,
    /// Holes.
    pub holes: u64,
    /// Bytes of bookkeeping written to.
    pub bookkeeping_bytes: u64,
    /// Events.
    pub counters: Counters,
}

impl PoolStats {
    /// Leaf entries by size, largest first.
    pub fn leaves(&self) -> impl Iterator<Item = (PageSize, u64)> + '_ {
        self.leaves.iter().flatten().copied()
    }

    /// Windows in use, with the bytes mapped in each, best first.
    pub fn windows(&self) -> impl Iterator<Item = (Extent, u64)> + '_ {
        self.windows.iter().flatten().copied()
    }
}

/// A picture of the whole engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stats<S: KindSet = execmem_types::Kind> {
    /// What each kind asked for.
    pub kinds: PerKind<S, KindStats>,
    pools: PerKind<S, Option<PoolStats>>,
}

impl<S: KindSet> Stats<S> {
    /// Kinds that have an allocator of their own, and its memory.
    pub fn pools(&self) -> impl Iterator<Item = (S, &PoolStats)> {
        self.pools.iter().filter_map(|(kind, pool)| Some((kind, pool.as_ref()?)))
    }

    /// The memory of the allocator of a kind that has its own.
    #[must_use]
    pub fn pool(&self, kind: S) -> Option<&PoolStats> {
        self.pools[kind].as_ref()
    }

    /// Bytes mapped for all pools.
    #[must_use]
    pub fn bytes_mapped(&self) -> u64 {
        self.pools().map(|(_, pool)| pool.bytes_mapped).sum()
    }

    /// Leaf entries of all pools of a size.
    #[must_use]
    pub fn leaves_of(&self, page: PageSize) -> u64 {
        self.leaves().filter(|(size, _)| *size == page).map(|(_, count)| count).sum()
    }

    /// Leaf entries of each pool, in the order of kinds.
    pub fn leaves(&self) -> impl Iterator<Item = (PageSize, u64)> + '_ {
        self.pools().flat_map(|(_, pool)| pool.leaves())
    }
}

impl<S: KindSet> Default for Stats<S> {
    fn default() -> Self {
        Stats { kinds: PerKind::filled(KindStats::default()), pools: PerKind::filled(None) }
    }
}

impl<M: Memory<S>, S: KindSet, L: Locking> Engine<M, S, L> {
    /// A picture of what every kind and pool has. Locks one shard at a time, so parts may be of different moments. Empty in
    /// a process that may not command the memory.
    #[must_use]
    pub fn stats(&self) -> Stats<S> {
        let mut stats = Stats::default();
        self.stats_into(&mut stats);
        stats
    }

    /// The same into memory of the caller: it is a few kilobytes.
    pub fn stats_into(&self, stats: &mut Stats<S>) {
        for kind in S::ALL {
            stats.kinds[*kind] = self.kind_stats(*kind);
            let is_own = matches!(self.table.row(*kind), Row::Own(_));
            stats.pools[*kind] = is_own.then(|| self.pool_stats(*kind));
        }
    }

    /// What a kind asked for.
    #[must_use]
    pub fn kind_stats(&self, kind: S) -> KindStats {
        let mut sum = KindStats::default();
        if self.memory.backend().check_caller().is_err() {
            return sum;
        }
        let seat = self.seats[kind];
        for shard in self.worker_for(kind).pool.shards() {
            shard.with(|shard| shard.kinds.get(usize::from(seat.sharer)).into_iter().for_each(|part| sum.add(part)));
        }
        (sum.dropped, sum.dropped_bytes) = self.identity.dropped(kind.number());
        sum
    }

    /// The memory of the allocator that serves a kind.
    #[must_use]
    pub fn pool_stats(&self, kind: S) -> PoolStats {
        let mut stats = PoolStats::default();
        if self.memory.backend().check_caller().is_ok() {
            add_pool(&mut stats, self.worker_for(kind).pool);
        }
        stats
    }
}

fn add_pool<L: Locking>(stats: &mut PoolStats, pool: &Pool<L>) {
    stats.counters = pool.row.events.counters();
    pool.visit(|region, window| add_region(stats, region, window));
    stats.bookkeeping_bytes +=
        pool.all_windows().map(|(_, window)| window.map.bookkeeping_bytes().0 as u64).sum::<u64>();
}

fn add_region(stats: &mut PoolStats, region: &Region, window: &Window) {
    let bytes = region.mapped_bytes();
    if window.is_donated {
        stats.bytes_donated += bytes;
    } else {
        stats.bytes_mapped += bytes;
        stats.blocks += region.blocks().len() as u64;
        add(&mut stats.windows, window.extent, bytes, |_, _| false);
        for block in region.blocks() {
            let count = block.extent.len() / block.page.bytes();
            add(&mut stats.leaves, block.page, count, |size, other| size > other);
        }
    }
    let arena = region.arena();
    stats.bytes_free += arena.free_len();
    stats.bytes_withheld += region.withheld_bytes();
    stats.largest_free = stats.largest_free.max(arena.largest_hole());
    stats.holes += arena.hole_count() as u64;
    stats.bookkeeping_bytes += arena.bookkeeping_bytes() as u64;
}

/// Adds to a list of sums, in which what is `before` another stands before it.
fn add<T: Copy + PartialEq>(list: &mut [Option<(T, u64)>], of: T, more: u64, before: impl Fn(T, T) -> bool) {
    if let Some((_, sum)) = list.iter_mut().flatten().find(|(other, _)| *other == of) {
        *sum += more;
        return;
    }
    let place = list.iter().position(|slot| slot.is_none_or(|(other, _)| before(of, other)));
    if let Some(place) = place {
        list[place..].rotate_right(1);
        list[place] = Some((of, more));
    }
}
