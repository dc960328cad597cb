//! Handles: what a caller holds, typed by stage of life and by kind.
//!
//! | stage | content | next |
//! |---|---|---|
//! | [`Draft`] | can be written | `publish` |
//! | [`Live`] | code changes by `patch` and its like only; data is data | `seal` where the kind has it |
//! | [`Sealed`] | nothing changes | – |
//!
//! Only the engine makes, changes and unmakes handles: they have no constructor, and no method of theirs or of a trait gives
//! out what is inside. A handle is neither `Copy` nor `Clone`, and every stage takes the one before by value: using memory
//! that was freed, writing published code or sealing code does not compile.
//!
//! ```compile_fail,E0382
//! # use execmem::{Draft, kinds::Text};
//! # fn free<H>(_: H) {}
//! fn twice(draft: Draft<Text>) {
//!     free(draft);
//!     free(draft); // use of moved value
//! }
//! ```
//!
//! ```compile_fail,E0277
//! # use execmem::{Engine, Live, kinds::Text};
//! # use execmem_sim::Sim;
//! fn seal_code(engine: &Engine<Sim>, code: Live<Text>) {
//!     let _ = engine.seal(code); // text is not sealed after initialisation
//! }
//! ```
//!
//! ```compile_fail,E0277
//! # use execmem::{Engine, Live, kinds::Text};
//! # use execmem_sim::Sim;
//! fn write_published(engine: &Engine<Sim>, code: &mut Live<Text>) {
//!     let _ = engine.write(code, 0, &[0x90]); // published code is not written
//! }
//! ```
//!
//! ```compile_fail,E0451
//! # use execmem::{Draft, Handle, Live, kinds::Text};
//! fn unpublish(code: Live<Text>) -> Draft<Text> {
//!     Handle { allocation: panic!(), of: Default::default() } // only the engine makes handles
//! }
//! ```

use core::marker::PhantomData;
use core::mem;

use execmem_types::{Extent, Kind, KindName, KindSet, KindTag, KnownKind, MAX_WINDOWS, PowerOfTwo, WritableTag};

use super::identity;
use super::request::Owner;

/// What an engine knows of an allocation by its handle: 32 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Allocation {
    /// Number of the engine.
    pub(crate) engine: u64,
    pub(crate) start: u64,
    /// Length in quanta of the pool.
    pub(crate) quanta: u32,
    /// Bytes beyond what the caller asked for.
    pub(crate) slack: u32,
    pub(crate) owner: Owner,
    /// Number of the kind in its set.
    pub(crate) kind: u8,
    /// Number of the pool that serves it.
    pub(crate) pool: u8,
    /// Which of the kinds that share the pool it is.
    pub(crate) sharer: u8,
    /// What every length in the pool is a multiple of.
    pub(crate) quantum: PowerOfTwo,
    pub(crate) location: Location,
}

const _: () = assert!(size_of::<Allocation>() <= 32);

impl Allocation {
    /// Its bytes.
    #[inline]
    pub(crate) const fn len(&self) -> u64 {
        (self.quanta as u64) << self.quantum.log2()
    }

    /// All of it.
    #[inline]
    pub(crate) const fn extent(&self) -> Extent {
        match Extent::new(self.start, self.len()) {
            Some(extent) => extent,
            None => panic!("I1: an allocation has bytes"),
        }
    }

    /// Bytes that the caller asked for.
    #[inline]
    pub(crate) const fn requested(&self) -> u64 {
        self.len().saturating_sub(self.slack as u64)
    }

    /// The part of it that an access wants, `None` if it wants nothing; an error outside of it.
    #[inline]
    pub(crate) const fn part(&self, offset: u64, len: u64) -> Result<Option<Extent>, crate::Error> {
        let granted = self.len();
        if offset > granted || len > granted - offset {
            return Err(crate::Error::OutOfBounds { offset, len, granted });
        }
        Ok(Extent::new(self.start + offset, len))
    }
}

/// An allocation of an engine: [`Draft`], [`Live`] or [`Sealed`]. `K` is a kind, or a set of kinds where the kind is known at
/// run time only.
///
/// A handle that is dropped leaves its memory allocated for as long as the engine lives, and is counted:
/// [`KindStats::dropped_bytes`](crate::KindStats::dropped_bytes). [`owned_by`](Self::owned_by) makes one that frees its memory
/// instead.
#[must_use = "memory whose handle is dropped is never freed"]
pub struct Handle<S: Stage, K: KindTag = Kind> {
    allocation: Allocation,
    of: PhantomData<fn() -> (S, K)>,
}

/// Fresh memory, to be written and then published.
pub type Draft<K = Kind> = Handle<stage::Draft, K>;

/// Published memory.
pub type Live<K = Kind> = Handle<stage::Live, K>;

/// Memory that was written during initialisation and is read-only now.
pub type Sealed<K = Kind> = Handle<stage::Sealed, K>;

/// The stages of life, as types.
pub mod stage {
    /// Being written.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct Draft;

    /// Published.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct Live;

    /// Read-only after initialisation.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct Sealed;
}

/// A stage of life. Sealed: the stages are those of [`stage`].
pub trait Stage: private::Stage + 'static {}

/// A stage in which memory of kind `K` is written by [`Engine::write`](crate::Engine::write). Sealed.
#[diagnostic::on_unimplemented(
    message = "memory of kind `{K}` cannot be written in stage `{Self}`",
    note = "a draft can always be written, published data until it is sealed; published code changes by `patch`"
)]
pub trait Writes<K>: Stage + private::Writes<K> {}

/// What no other crate can name, so that none can implement it.
mod private {
    /// A stage of life as a value.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum StageOf {
        Draft,
        Live,
        Sealed,
    }

    pub trait Stage {
        const STAGE: StageOf;
    }

    pub trait Writes<K> {}
}

pub(crate) use private::StageOf;

macro_rules! stages {
    ($($stage:ident)*) => { $(
        impl private::Stage for stage::$stage {
            const STAGE: StageOf = StageOf::$stage;
        }
        impl Stage for stage::$stage {}
    )* };
}

stages! { Draft Live Sealed }

impl<K: KindTag> private::Writes<K> for stage::Draft {}
impl<K: KindTag> Writes<K> for stage::Draft {}
impl<K: WritableTag> private::Writes<K> for stage::Live {}
impl<K: WritableTag> Writes<K> for stage::Live {}

impl<S: Stage, K: KindTag> Handle<S, K> {
    /// Address of the first byte.
    #[must_use]
    #[inline]
    pub const fn address(&self) -> u64 {
        self.allocation.start
    }

    /// All bytes of the allocation: what was asked for, rounded up to the quantum of the kind.
    #[must_use]
    #[inline]
    pub const fn extent(&self) -> Extent {
        self.allocation.extent()
    }

    /// The kind of the memory.
    #[must_use]
    #[inline]
    pub fn kind(&self) -> K::Set {
        let known = K::KNOWN.or_else(|| K::Set::from_number(self.allocation.kind));
        known.unwrap_or_else(|| panic!("I3: kind {} is none of the set", self.allocation.kind))
    }

    /// What it was allocated for.
    #[must_use]
    #[inline]
    pub const fn owner(&self) -> Owner {
        self.allocation.owner
    }

    /// Whether it is code too far from the anchor for direct branches, which need veneers then.
    #[must_use]
    #[inline]
    pub const fn is_far(&self) -> bool {
        self.allocation.location.is_far()
    }

    /// The same handle with its kind known at run time only.
    pub fn erase(self) -> Handle<S, K::Set> {
        Handle::of(self.into_allocation())
    }

    /// The stage of all such handles.
    pub(crate) const STAGE: StageOf = S::STAGE;

    /// A handle of an allocation that no other handle stands for.
    #[inline]
    pub(crate) const fn of(allocation: Allocation) -> Self {
        Handle { allocation, of: PhantomData }
    }

    #[inline]
    pub(crate) const fn allocation(&self) -> &Allocation {
        &self.allocation
    }

    #[inline]
    pub(crate) const fn allocation_mut(&mut self) -> &mut Allocation {
        &mut self.allocation
    }

    /// The allocation, for which another handle, or none, is going to stand.
    #[inline]
    pub(crate) const fn into_allocation(self) -> Allocation {
        let allocation = self.allocation;
        mem::forget(self);
        allocation
    }

    /// The same allocation in another stage.
    #[inline]
    pub(crate) const fn advance<T: Stage>(self) -> Handle<T, K> {
        Handle::of(self.into_allocation())
    }
}

impl<S: Stage, K: KindSet> Handle<S, K> {
    /// The same handle with its kind known by type.
    ///
    /// # Errors
    ///
    /// The handle itself if it is of another kind.
    pub fn retype<T: KnownKind<Set = K>>(self) -> Result<Handle<S, T>, Self> {
        if T::NUMBER == self.allocation.kind { Ok(Handle::of(self.into_allocation())) } else { Err(self) }
    }
}

impl<S: Stage, K: KindTag> Drop for Handle<S, K> {
    /// Counts the bytes that are never freed.
    #[inline]
    fn drop(&mut self) {
        identity::count_dropped(&self.allocation);
    }
}

impl<S: Stage, K: KindTag> PartialEq for Handle<S, K> {
    fn eq(&self, other: &Self) -> bool {
        self.allocation == other.allocation
    }
}

impl<S: Stage, K: KindTag> Eq for Handle<S, K> {}

impl<S: Stage, K: KindTag> core::fmt::Debug for Handle<S, K> {
    /// `Live text 0x1000..0x1040`.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{:?} {} {}", Self::STAGE, KindName::from(self.kind()), self.extent())
    }
}

/// Most donations that a pool can have.
pub(crate) const MAX_DONATIONS: usize = (1 << WINDOW_BITS) - MAX_WINDOWS;

const SHARD_BITS: u8 = 4;
const WINDOW_BITS: u8 = 3;
const FAR: u8 = 1 << (SHARD_BITS + WINDOW_BITS);

/// Most shards of a pool.
pub(crate) const MAX_SHARDS: usize = 1 << SHARD_BITS;

/// Where in a pool an allocation is. Part of every handle, so that freeing searches nothing: shard and window, and whether
/// branches from there do not reach the anchor. The windows of the row come first, donated memory behind them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Location(u8);

impl Location {
    /// A shard of a pool, and one of its windows.
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "both fit their bits, as pools are made")]
    pub(crate) const fn new(shard: usize, window: usize) -> Self {
        Location(shard as u8 & ((1 << SHARD_BITS) - 1) | (window as u8 & ((1 << WINDOW_BITS) - 1)) << SHARD_BITS)
    }

    /// The same, too far for direct branches or not.
    #[inline]
    pub(crate) const fn far(self, is_far: bool) -> Self {
        Location(if is_far { self.0 | FAR } else { self.0 & !FAR })
    }

    /// Whether it is too far for direct branches.
    #[inline]
    pub(crate) const fn is_far(self) -> bool {
        self.0 & FAR != 0
    }

    /// Number of the shard.
    #[inline]
    pub(crate) const fn shard(self) -> usize {
        (self.0 & ((1 << SHARD_BITS) - 1)) as usize
    }

    /// Number of the window.
    #[inline]
    pub(crate) const fn window(self) -> usize {
        (self.0 >> SHARD_BITS & ((1 << WINDOW_BITS) - 1)) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_location_tells_what_it_is_made_of() {
        for (shard, window, is_far) in
            [(0, 0, false), (7, 2, true), (MAX_SHARDS - 1, MAX_WINDOWS + MAX_DONATIONS - 1, true)]
        {
            let location = Location::new(shard, window).far(is_far);
            assert_eq!((location.shard(), location.window(), location.is_far()), (shard, window, is_far));
            assert_eq!(location.far(false), Location::new(shard, window));
        }
    }
}
