//! A picture of what every kind and pool has.

use alloc::vec::Vec;

use execmem_types::{Backend, Extent, Kind, PageSize};

use crate::counters::{Counters, KindStats};
use crate::pool::Pool;
use crate::sync::Locking;
use crate::{Engine, region::Region};

/// The memory of one pool: a kind that has an allocator of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolStats {
    /// The kind.
    pub kind: Kind,
    /// Leaf entries by size, largest first.
    pub leaves: Vec<(PageSize, u64)>,
    /// Blocks.
    pub blocks: u64,
    /// Bytes mapped for this pool; donated bytes are not.
    pub bytes_mapped: u64,
    /// Bytes donated.
    pub bytes_donated: u64,
    /// Bytes in blocks that are not live.
    pub bytes_free: u64,
    /// The longest free range in bytes.
    pub largest_free: u64,
    /// Holes.
    pub holes: u64,
    /// Windows in use, with the bytes mapped in each.
    pub windows: Vec<(Extent, u64)>,
    /// Bytes of bookkeeping written to.
    pub bookkeeping_bytes: u64,
    /// Events.
    pub counters: Counters,
}

/// A picture of the whole engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stats {
    /// What each kind asked for, in the order of [`Kind::ALL`].
    pub kinds: [KindStats; Kind::COUNT],
    /// The pools, in the order of their kinds.
    pub pools: Vec<PoolStats>,
}

impl Stats {
    /// Bytes mapped for all pools.
    #[must_use]
    pub fn bytes_mapped(&self) -> u64 {
        self.pools.iter().map(|pool| pool.bytes_mapped).sum()
    }

    /// Leaf entries of all pools by size, largest first.
    #[must_use]
    pub fn leaves(&self) -> Vec<(PageSize, u64)> {
        let mut all = Vec::new();
        for (page, count) in self.pools.iter().flat_map(|pool| &pool.leaves) {
            add_leaves(&mut all, *page, *count);
        }
        all
    }
}

/// Adds to a list of counts by size, largest first.
fn add_leaves(list: &mut Vec<(PageSize, u64)>, page: PageSize, count: u64) {
    match list.binary_search_by(|(other, _)| page.cmp(other)) {
        Ok(found) => list[found].1 += count,
        Err(place) => list.insert(place, (page, count)),
    }
}

impl<B: Backend, L: Locking> Engine<B, L> {
    /// A picture of what every kind and pool has. Locks one pool at a time, so pools may be of different moments.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let mut stats = Stats { kinds: [KindStats::default(); Kind::COUNT], pools: Vec::new() };
        for pool in &self.pools {
            for shard in pool.shards() {
                shard.with(|shard| stats.kinds.iter_mut().zip(&shard.kinds).for_each(|(sum, part)| sum.add(part)));
            }
            stats.pools.push(pool_stats(pool));
        }
        stats
    }
}

fn pool_stats<L: Locking>(pool: &Pool<L>) -> PoolStats {
    let mut stats = PoolStats {
        kind: pool.kind,
        leaves: Vec::new(),
        blocks: 0,
        bytes_mapped: 0,
        bytes_donated: 0,
        bytes_free: 0,
        largest_free: 0,
        holes: 0,
        windows: Vec::new(),
        bookkeeping_bytes: 0,
        counters: pool.events.with(|events| events.counters),
    };
    pool.visit(|region| add_region(&mut stats, region));
    let ledgers = pool.windows.iter().chain(pool.donations.iter());
    stats.bookkeeping_bytes += ledgers.map(|window| window.ledger.bookkeeping_bytes() as u64).sum::<u64>();
    stats
}

fn add_region(stats: &mut PoolStats, region: &Region) {
    let bytes: u64 = region.blocks().iter().map(|block| block.extent.len()).sum();
    if region.window.is_donated {
        stats.bytes_donated += bytes;
    } else {
        stats.bytes_mapped += bytes;
        stats.blocks += region.blocks().len() as u64;
        match stats.windows.iter_mut().find(|(window, _)| *window == region.window.extent) {
            Some((_, sum)) => *sum += bytes,
            None => stats.windows.push((region.window.extent, bytes)),
        }
        for block in region.blocks() {
            add_leaves(&mut stats.leaves, block.page, block.extent.len() / block.page.bytes());
        }
    }
    let arena = region.arena();
    stats.bytes_free += arena.free_len();
    stats.largest_free = stats.largest_free.max(arena.largest_hole());
    stats.holes += arena.hole_count() as u64;
    stats.bookkeeping_bytes += arena.bookkeeping_bytes().0 as u64;
}
