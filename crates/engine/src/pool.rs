//! The allocator of one row of the table: its windows, its shards and its locks.
//!
//! A pool whose blocks are as large as a page of the live map is divided into *shards*, each with blocks and a lock of its
//! own. A thread allocates from the shard of its hint if it can; [`steal`] says when from another. A new block goes to the
//! shard of the thread that needed it.
//!
//! # Invariants (I10)
//!
//! The locks of the *shards* are held for the time of a search or a few words of bookkeeping, never across a call of the
//! backend or of a hook, and never two at once. The *change* lock is held while blocks are mapped or their rights changed; a
//! thread that finds room in an existing block never takes it. Order: change, then a shard or the lock of the
//! [space](crate::space).

mod adopt;
mod extend;
mod grow;
mod place;
mod retire;
mod seal_blocks;
mod shard;
mod steal;

use alloc::boxed::Box;
use alloc::vec::Vec;

use execmem_range::PAGE_QUANTA;
use execmem_types::{Descriptor, Extent, Growth, KindSet, MAX_WINDOWS, PowerOfTwo, Row, Seal, Table};
use once_cell::race::OnceBox;

use crate::Error;
use crate::base::handle::{Location, MAX_DONATIONS, MAX_SHARDS};
use crate::memory::{Memory, PoolRow, Seam};
use crate::region::{Block, Region, Window};
use crate::space::{Space, base_alignment, usable};
use crate::sync::{AtomicBool, AtomicU8, Lock, Locking, Ordering, RawMutex};

pub(crate) use place::Taken;
pub(crate) use retire::TOGETHER;
pub(crate) use shard::Shard;

/// Shards of a pool that has several; at most as many as a byte has bits.
const SHARDS: usize = if cfg!(loom) { 2 } else { 8 };
const _: () = assert!(SHARDS.is_power_of_two() && SHARDS <= MAX_SHARDS, "the low bits of a hint say which shard");

/// The allocator of one kind, and of the kinds that share its blocks.
pub(crate) struct Pool<L: Locking> {
    /// Which of the engine's pools it is.
    pub(crate) number: u8,
    pub(crate) row: PoolRow,
    /// The windows of the row as far as they are used, best first.
    windows: Vec<Window>,
    /// Memory that was mapped before the engine had it; used first. The list only grows.
    donated: [OnceBox<[Window; 1]>; MAX_DONATIONS],
    /// Longest allocation that any window could hold.
    pub(crate) limit: u64,
    /// The largest alignment that can be asked for.
    pub(crate) alignment_limit: PowerOfTwo,
    shards: Vec<Apart<Lock<L::Spin, Shard>>>,
    /// Bit `n` is set before shard `n` gets its first block. Others need no look, which would only move their locks from
    /// one processor to another.
    used: AtomicU8,
    /// No large block could be had the last time: every hole serves every thread until one can.
    is_short: AtomicBool,
    pub(crate) change: Lock<L::Sleep, ()>,
}

/// A pool at work: with the seam through which it has memory. What it does is told in the files of this folder.
pub(crate) struct Worker<'e, M, S, L: Locking> {
    pub(crate) pool: &'e Pool<L>,
    pub(crate) seam: Seam<'e, M, S, L::Spin>,
}

impl<'e, M: Memory<S>, S: KindSet, L: Locking> Worker<'e, M, S, L> {
    #[inline]
    pub(crate) const fn new(pool: &'e Pool<L>, memory: &'e M, space: &'e Space<L::Spin>) -> Self {
        Worker { pool, seam: Seam::new(memory, &pool.row, space) }
    }
}

/// Aligned so that no two share a cache line.
#[repr(align(128))]
struct Apart<T>(T);

impl<L: Locking> Pool<L> {
    /// The pools of a table, in the order of the kinds that have rows of their own.
    #[inline(never)] // Its frame is large, and gone before that of the space is there.
    pub(crate) fn of_table<S: KindSet>(table: &Table<S>) -> Result<Vec<Self>, Error> {
        let rows = || S::ALL.iter().filter_map(|kind| PoolRow::of(table, *kind));
        let mut pools = Vec::new();
        let own = S::ALL.iter().filter(|kind| matches!(table.row(**kind), Row::Own(_)));
        pools.try_reserve_exact(own.count()).map_err(|_| Error::OutOfMemory)?;
        for (row, number) in rows().zip(0..) {
            let sharers = S::ALL.iter().filter(|kind| table.home(**kind).number() == row.kind).count();
            let shards = shards_of(&row, sharers)?;
            // It is made where it stays: a stack may be small.
            pools.push(Pool {
                number,
                limit: row.descriptor.windows().map(|window| used_of(&row, window).len()).max().unwrap_or(0),
                alignment_limit: base_alignment(&row.descriptor),
                row,
                windows: Vec::new(),
                donated: [const { OnceBox::new() }; MAX_DONATIONS],
                shards,
                used: AtomicU8::new(0),
                is_short: AtomicBool::new(false),
                change: Lock::new(()),
            });
        }
        pools.iter_mut().try_for_each(Pool::make_windows)?;
        Ok(pools)
    }

    fn make_windows(&mut self) -> Result<(), Error> {
        self.windows.try_reserve_exact(self.row.descriptor.windows().count()).map_err(|_| Error::OutOfMemory)?;
        for window in self.row.descriptor.windows() {
            let used = used_of(&self.row, window);
            self.windows.push(Window::new(used, self.row.quantum, self.alignment_limit, false)?);
        }
        Ok(())
    }

    /// The windows of the row, best first.
    pub(crate) fn windows(&self) -> &[Window] {
        &self.windows
    }

    /// The donated windows with their numbers.
    pub(crate) fn donated(&self) -> impl Iterator<Item = (usize, &Window)> {
        let windows = self.donated.iter().map_while(|slot| slot.get().map(|[window]| window));
        (MAX_WINDOWS..).zip(windows)
    }

    /// All windows with their numbers.
    pub(crate) fn all_windows(&self) -> impl Iterator<Item = (usize, &Window)> {
        self.windows.iter().enumerate().chain(self.donated())
    }

    /// The window of a number.
    #[inline]
    pub(crate) fn window(&self, number: usize) -> &Window {
        let donated = |number: usize| self.donated.get(number.checked_sub(MAX_WINDOWS)?)?.get();
        let window = self.windows.get(number).or_else(|| donated(number).map(|[window]| window));
        let Some(window) = window else { panic!("I3: a location names window {number}, which is none") };
        window
    }

    /// The number of the next donated window, if there can be one more.
    fn next_donation(&self) -> Option<usize> {
        let count = self.donated().count();
        (count < MAX_DONATIONS).then_some(MAX_WINDOWS + count)
    }

    /// Adds a donated window. Under the change lock.
    fn add_donation(&self, window: Box<[Window; 1]>) {
        let slot = self.donated.iter().find(|slot| slot.get().is_none());
        let is_added = slot.is_some_and(|slot| slot.set(window).is_ok());
        assert!(is_added, "I10: a donation was added without the lock of changes");
    }

    /// The shards.
    pub(crate) fn shards(&self) -> impl Iterator<Item = &Lock<L::Spin, Shard>> {
        self.shards.iter().map(|Apart(shard)| shard)
    }

    /// The shard of a location.
    #[inline]
    pub(crate) fn shard(&self, location: Location) -> &Lock<L::Spin, Shard> {
        self.numbered(location.shard())
    }

    #[inline]
    fn numbered(&self, number: usize) -> &Lock<L::Spin, Shard> {
        &self.shards[number].0
    }

    /// The number of the shard of a hint.
    #[inline]
    fn number_of(&self, hint: usize) -> usize {
        hint & (self.shards.len() - 1)
    }

    /// The numbers of all shards but one, those behind it first.
    fn others(&self, own: usize) -> impl Iterator<Item = usize> {
        let count = self.shards.len();
        (1..count).map(move |step| (own + step) % count)
    }

    /// The same, only those that ever had a block.
    fn others_in_use(&self, own: usize) -> impl Iterator<Item = usize> {
        let used = self.used.load(Ordering::Acquire);
        self.others(own).filter(move |number| used & 1 << number != 0)
    }

    /// The shard that fresh blocks go to: the caller's if they cover whole pages of the live map, of which each is one
    /// shard's, or else the first.
    fn shard_for(&self, blocks: &[Block], window: &Window) -> usize {
        let page = PAGE_QUANTA * self.row.quantum.bytes();
        let is_whole = |extent: Extent| {
            let offset = extent.start() - window.base;
            offset.is_multiple_of(page) && extent.len().is_multiple_of(page)
        };
        if blocks.iter().all(|block| is_whole(block.reserved)) { self.number_of(L::shard_hint()) } else { 0 }
    }

    /// The shard of a number is about to get a block.
    fn note_used(&self, shard: usize) {
        self.used.fetch_or(1 << shard, Ordering::Release);
    }

    /// Gives back the bookkeeping of a window of a shard that only what is gone needed.
    pub(crate) fn trim(&self, location: Location) {
        let window = self.window(location.window());
        self.shard(location).with(|shard| {
            if let Some(region) = shard.region_mut(location.window()) {
                region.trim(window);
            }
        });
    }

    /// Gives back the parts of live maps in which nothing is.
    pub(crate) fn trim_maps(&mut self) {
        self.windows.iter_mut().for_each(|window| window.map.trim());
    }

    /// Every window of every shard.
    pub(crate) fn locations(&self) -> impl Iterator<Item = Location> + '_ {
        (0..self.shards.len()).flat_map(|shard| self.all_windows().map(move |(number, _)| Location::new(shard, number)))
    }

    /// Gives every region, one shard after the other, to `visit`, under the lock of the shard.
    pub(crate) fn visit(&self, mut visit: impl FnMut(&Region, &Window)) {
        for shard in self.shards() {
            shard.with(|shard| {
                for (number, window) in self.all_windows() {
                    if let Some(region) = shard.region(number) {
                        visit(region, window);
                    }
                }
            });
        }
    }

    /// The first free range of a window of a shard that serves requests and starts at an address or behind it.
    pub(crate) fn next_unused(&self, location: Location, from: u64) -> Option<Extent> {
        let window = self.window(location.window());
        self.shard(location).with(|shard| shard.region(location.window())?.next_unused(window, from))
    }

    /// Length of the longest free range.
    pub(crate) fn largest_hole(&self) -> u64 {
        let mut largest = 0;
        self.visit(|region, _| largest = region.arena().largest_hole().max(largest));
        largest
    }
}

/// The part of a window that blocks can be in.
fn used_of(row: &PoolRow, window: Extent) -> Extent {
    usable(window, row.quantum, row.descriptor.placement)
}

/// Shards without memory, for a row that so many kinds share.
fn shards_of<R: RawMutex>(row: &PoolRow, sharers: usize) -> Result<Vec<Apart<Lock<R, Shard>>>, Error> {
    let mut shards = Vec::new();
    let count = shard_count(&row.descriptor, row.quantum);
    shards.try_reserve_exact(count).map_err(|_| Error::OutOfMemory)?;
    shards.extend((0..count).map(|_| Apart(Lock::new(Shard::new(sharers)))));
    Ok(shards)
}

/// Several where the largest blocks are whole pages of the live map and each is by itself.
fn shard_count(descriptor: &Descriptor, quantum: PowerOfTwo) -> usize {
    let largest = descriptor.granularities().next().map_or(0, |page| page.bytes());
    let is_divisible = largest > 0 && largest.is_multiple_of(PAGE_QUANTA * quantum.bytes());
    let is_independent = descriptor.growth != Growth::Tail && descriptor.seal != Seal::Block;
    if is_divisible && is_independent { SHARDS } else { 1 }
}
