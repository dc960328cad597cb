//! The allocator of one row of the table: its windows, its shards and its locks.
//!
//! A pool whose blocks are as large as a page of the ledger is divided into *shards*, each with blocks and a lock of its
//! own. A caller allocates from the shard of its lane if it can; [`take`] says when from another. A new block goes to the
//! shard of the caller who needed it.
//!
//! # Invariants (I10)
//!
//! The locks of the *shards* are held for the time of a search or a few words of bookkeeping, never across a backend
//! call (I10), and never two at once. The *change* lock is held while blocks are mapped or their rights changed; whoever
//! finds room in an existing block never takes it. Order: change, then a shard, then the lock of the
//! [space](crate::space) or of the events.

mod take;

use alloc::vec::Vec;

use execmem_range::PAGE_QUANTA;
use execmem_types::{Descriptor, Extent, Growth, Kind, MAX_WINDOWS, PowerOfTwo, Seal, Table};
use smallvec::SmallVec;

use crate::Error;
use crate::block::Block;
use crate::counters::Counters;
use crate::donations::Donations;
use crate::region::{Region, Want, Window};
use crate::shard::{Shard, Site};
use crate::space::{base_alignment, usable};
use crate::sync::{AtomicBool, AtomicU8, Lock, Locking, Ordering};

/// Shards of a pool that has several; at most as many as a byte has bits.
const SHARDS: usize = if cfg!(loom) { 2 } else { 8 };
const _: () = assert!(SHARDS.is_power_of_two(), "the low bits of a lane say which shard");

/// The allocator of one kind, and of the kinds that share its blocks.
pub(crate) struct Pool<L: Locking> {
    pub(crate) kind: Kind,
    /// Which of the engine's pools it is.
    pub(crate) number: u8,
    pub(crate) descriptor: Descriptor,
    /// Smallest quantum of all kinds served.
    pub(crate) quantum: PowerOfTwo,
    /// The windows as far as they are used, best first.
    pub(crate) windows: SmallVec<[Window; MAX_WINDOWS]>,
    /// Longest allocation that any window could hold.
    pub(crate) limit: u64,
    /// The largest alignment that can be asked for.
    pub(crate) alignment_limit: PowerOfTwo,
    shards: Vec<Apart<Lock<L, Shard>>>,
    /// Bit `n` is set before shard `n` gets its first block. Others need no look, which would only move their locks from
    /// one processor to another.
    used: AtomicU8,
    /// No large block could be had the last time: every hole serves everybody until one can.
    is_short: AtomicBool,
    pub(crate) donations: Donations,
    pub(crate) change: Lock<L, ()>,
    pub(crate) events: Lock<L, Events>,
}

/// Aligned so that no two share a cache line.
#[repr(align(128))]
struct Apart<T>(T);

/// What happens rarely.
#[derive(Debug, Default)]
pub(crate) struct Events {
    pub(crate) counters: Counters,
    /// Bytes of ranges that stay live although nobody holds them.
    pub(crate) quarantined_live_bytes: u64,
    /// Reservations whose memory the backend did not unmap.
    pub(crate) lost: Vec<Extent>,
}

impl<L: Locking> Pool<L> {
    pub(crate) fn new(table: &Table, kind: Kind, number: u8) -> Result<Self, Error> {
        let descriptor = *table.descriptor(kind);
        let quantum = table.shared_quantum(kind);
        let alignment_limit = base_alignment(&descriptor);
        let mut windows = SmallVec::new();
        for window in descriptor.windows() {
            let used = usable(window, quantum, descriptor.placement);
            windows.push(Window::new(used, quantum, alignment_limit, false)?);
        }
        let limit = windows.iter().map(|window: &Window| window.extent.len()).max().unwrap_or(0);
        let mut shards = Vec::new();
        let count = shard_count(&descriptor, quantum);
        shards.try_reserve_exact(count).map_err(|_| Error::OutOfMemory)?;
        shards.extend((0..count).map(|_| Apart(Lock::new(Shard::new(kind)))));
        Ok(Pool {
            kind,
            number,
            descriptor,
            quantum,
            windows,
            limit,
            alignment_limit,
            shards,
            used: AtomicU8::new(0),
            is_short: AtomicBool::new(false),
            donations: Donations::default(),
            change: Lock::new(()),
            events: Lock::new(Events::default()),
        })
    }

    /// The shards.
    pub(crate) fn shards(&self) -> impl Iterator<Item = &Lock<L, Shard>> {
        self.shards.iter().map(|Apart(shard)| shard)
    }

    /// The shard of a site.
    #[inline]
    pub(crate) fn shard(&self, site: Site) -> &Lock<L, Shard> {
        self.numbered(usize::from(site.shard))
    }

    /// The shard of a site at which the caller frees.
    #[inline]
    pub(crate) fn shard_to_free_in(&self, site: Site) -> &Lock<L, Shard> {
        if self.number_of(L::lane()) != usize::from(site.shard) {
            L::freed_on(site.shard.into());
        }
        self.shard(site)
    }

    #[inline]
    fn numbered(&self, number: usize) -> &Lock<L, Shard> {
        &self.shards[number].0
    }

    /// The number of the shard of a lane.
    #[inline]
    fn number_of(&self, lane: usize) -> usize {
        lane & (self.shards.len() - 1)
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

    /// The shard that fresh blocks go to: the caller's if they cover whole pages of the ledger, of which each is one
    /// shard's, or else the first.
    pub(crate) fn shard_for(&self, blocks: &[Block], window: &Window) -> usize {
        let page = PAGE_QUANTA * self.quantum.bytes();
        let is_whole = |extent: Extent| {
            let offset = extent.start() - window.base;
            offset.is_multiple_of(page) && extent.len().is_multiple_of(page)
        };
        if blocks.iter().all(|block| is_whole(block.reserved)) { self.number_of(L::lane()) } else { 0 }
    }

    /// Carves a place out of donated memory.
    #[inline]
    pub(crate) fn take_donated(&self, want: &Want) -> Result<Option<Extent>, Error> {
        if self.donations.is_empty() {
            Ok(None)
        } else {
            self.shard(Site::DONATED).with(|shard| shard.take_donated(want))
        }
    }

    /// The shard of a site is about to get a block.
    pub(crate) fn note_used(&self, site: Site) {
        self.used.fetch_or(1 << site.shard, Ordering::Release);
    }

    /// Gives every region, one shard after the other, to `visit`.
    pub(crate) fn visit(&self, mut visit: impl FnMut(&Region)) {
        for shard in self.shards() {
            shard.with(|shard| shard.regions().for_each(&mut visit));
        }
    }

    /// Length of the longest free range.
    pub(crate) fn largest_hole(&self) -> u64 {
        let mut largest = 0;
        self.visit(|region| largest = region.arena().largest_hole().max(largest));
        largest
    }

    /// Counts an event.
    pub(crate) fn count(&self, count: impl FnOnce(&mut Counters)) {
        self.events.with(|events| count(&mut events.counters));
    }

    /// Remembers a block that the backend did not unmap.
    pub(crate) fn lose(&self, block: &Block) {
        self.events.with(|events| {
            events.counters.quarantined_bytes += block.extent.len();
            if block.owns_reservation() && events.lost.try_reserve(1).is_ok() {
                events.lost.push(block.reserved);
            }
        });
    }
}

/// Several where the largest blocks are whole pages of the ledger and each is by itself.
fn shard_count(descriptor: &Descriptor, quantum: PowerOfTwo) -> usize {
    let largest = descriptor.granularities().next().map_or(0, |page| page.bytes());
    let is_divisible = largest > 0 && largest.is_multiple_of(PAGE_QUANTA * quantum.bytes());
    let is_independent = descriptor.growth == Growth::Whole && descriptor.seal != Seal::Block;
    if is_divisible && is_independent { SHARDS } else { 1 }
}
