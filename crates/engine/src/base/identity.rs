//! Numbers of engines, and what is counted of handles that outlive their use.
//!
//! A handle knows its engine by number only, and no number comes twice. What a dropped handle leaves behind is counted in a
//! *place* of its engine: places form a list that only grows, and the place of an engine that is gone serves the next.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicUsize, Ordering};

#[cfg(target_has_atomic = "64")]
use core::sync::atomic::AtomicU64;
use execmem_types::MAX_KINDS;
use once_cell::race::OnceBox;
#[cfg(not(target_has_atomic = "64"))]
use portable_atomic::AtomicU64;

use super::handle::Allocation;
use crate::Error;

/// Tells engines apart, and with 64 bits never twice the same.
static NEXT_ENGINE: AtomicU64 = AtomicU64::new(1);

/// The first place.
static PLACES: Link = Link(OnceBox::new());

struct Link(OnceBox<[Place; 1]>);

struct Place {
    /// Number of the engine that has it; 0 if none has.
    engine: AtomicU64,
    /// Bytes and number of the handles that were dropped, by kind.
    bytes: [AtomicUsize; MAX_KINDS],
    handles: [AtomicUsize; MAX_KINDS],
    next: Link,
}

/// The number of an engine, and its place as long as it lives.
pub(crate) struct Identity {
    number: u64,
    place: &'static Place,
}

impl Identity {
    /// A number that no other engine has or had.
    pub(crate) fn new() -> Result<Self, Error> {
        let number = NEXT_ENGINE.fetch_add(1, Ordering::Relaxed);
        let mut link = &PLACES;
        loop {
            let place = match link.place() {
                Some(place) => place,
                None => link.add()?,
            };
            if place.engine.compare_exchange(0, number, Ordering::Acquire, Ordering::Relaxed).is_ok() {
                return Ok(Identity { number, place });
            }
            link = &place.next;
        }
    }

    /// The number.
    #[inline]
    pub(crate) const fn number(&self) -> u64 {
        self.number
    }

    /// Handles of a kind that were dropped without being freed, and their bytes.
    pub(crate) fn dropped(&self, kind: u8) -> (u64, u64) {
        let of = |counts: &[AtomicUsize; MAX_KINDS]| {
            counts.get(usize::from(kind)).map_or(0, |count| count.load(Ordering::Relaxed) as u64)
        };
        (of(&self.place.handles), of(&self.place.bytes))
    }
}

impl Drop for Identity {
    /// Leaves the place to the next engine.
    fn drop(&mut self) {
        for count in self.place.bytes.iter().chain(&self.place.handles) {
            count.store(0, Ordering::Relaxed);
        }
        self.place.engine.store(0, Ordering::Release);
    }
}

impl core::fmt::Debug for Identity {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_tuple("Identity").field(&self.number).finish()
    }
}

impl Link {
    fn place(&self) -> Option<&Place> {
        self.0.get().map(|[place]| place)
    }

    /// The place behind this link, which is made if there is none.
    fn add(&self) -> Result<&Place, Error> {
        let mut one = Vec::new();
        one.try_reserve_exact(1).map_err(|_| Error::OutOfMemory)?;
        let [bytes, handles] = [const { [const { AtomicUsize::new(0) }; MAX_KINDS] }; 2];
        one.push(Place { engine: AtomicU64::new(0), bytes, handles, next: Link(OnceBox::new()) });
        let one: Box<[Place; 1]> = one.into_boxed_slice().try_into().map_err(|_| Error::OutOfMemory)?;
        // Another engine may have been faster: its place does as well.
        let _ = self.0.set(one);
        self.place().ok_or(Error::OutOfMemory)
    }
}

/// Counts a handle that is dropped: its memory stays allocated for as long as its engine lives.
#[cold]
pub(crate) fn count_dropped(allocation: &Allocation) {
    let mut places = core::iter::successors(PLACES.place(), |place| place.next.place());
    let own = places.find(|place| place.engine.load(Ordering::Acquire) == allocation.engine);
    if let Some(place) = own
        && let (Some(bytes), Some(handles)) =
            (place.bytes.get(usize::from(allocation.kind)), place.handles.get(usize::from(allocation.kind)))
    {
        bytes.fetch_add(usize::try_from(allocation.len()).unwrap_or(usize::MAX), Ordering::Relaxed);
        handles.fetch_add(1, Ordering::Relaxed);
    }
}
