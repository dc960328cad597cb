//! Coarse address → window: one byte per slot of a zone. First step of a look-up.
//!
//! A zone is cut into a few thousand slots, mostly as large as a block. A slot names the window of a pool for which alone
//! addresses in it were reserved, or says that there were several; then each is asked. A slot may name a window whose
//! blocks have gone, if it was never wholly one block's: the live map of that window says that nothing is live there.

use alloc::vec::Vec;

use execmem_types::{MAX_KINDS, MAX_WINDOWS, PowerOfTwo};

use crate::Error;
use crate::sync::{AtomicU8, Ordering};

/// A zone has at most twice as many slots.
const SLOTS_LOG2: u32 = 12;

/// What a slot holds in which several windows have reserved.
const SEVERAL: u8 = u8::MAX;

/// Bits of a tag that say which window of the pool is meant.
const WINDOW_BITS: u8 = 2;
const _: () = assert!(MAX_WINDOWS <= 1 << WINDOW_BITS && (MAX_KINDS + 1) << WINDOW_BITS < 255, "tags are bytes");

/// A window of a pool, as a byte that is neither 0 nor 255: what a slot holds in which only that window can have blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ReservationTag(u8);

impl ReservationTag {
    /// The tag of the reservations for a window of a pool.
    #[expect(clippy::cast_possible_truncation, reason = "there are 3 windows")]
    pub(crate) const fn new(pool: u8, window: usize) -> Self {
        ReservationTag((pool + 1) << WINDOW_BITS | window as u8)
    }
}

/// What a slot says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Slot {
    /// Only this window can have blocks there.
    Window {
        /// Number of the pool.
        pool: u8,
        /// Number of its window.
        window: u8,
    },
    /// None has.
    Empty,
    /// Several can have.
    Several,
    /// The address is in no window.
    Outside,
}

impl Slot {
    #[inline]
    const fn of(byte: u8) -> Self {
        match byte {
            0 => Slot::Empty,
            SEVERAL => Slot::Several,
            tag => Slot::Window { pool: (tag >> WINDOW_BITS) - 1, window: tag & ((1 << WINDOW_BITS) - 1) },
        }
    }
}

/// The slots of a zone. Written under the lock of the space, read by any thread.
#[derive(Debug)]
pub(crate) struct AddressIndex {
    slot: PowerOfTwo,
    slots: Vec<AtomicU8>,
}

impl AddressIndex {
    /// Slots for offsets below `len`, none smaller than `block`.
    pub(crate) fn new(len: u64, block: PowerOfTwo) -> Result<Self, Error> {
        #[expect(clippy::cast_possible_truncation, reason = "a logarithm of 64 bits")]
        let least = PowerOfTwo::from_log2((len.max(1).ilog2().saturating_sub(SLOTS_LOG2)) as u8);
        let slot = block.max(least);
        let count = usize::try_from(len.div_ceil(slot.bytes())).map_err(|_| Error::OutOfMemory)?;
        let mut slots = Vec::new();
        slots.try_reserve_exact(count).map_err(|_| Error::OutOfMemory)?;
        slots.resize_with(count, || AtomicU8::new(0));
        Ok(AddressIndex { slot, slots })
    }

    #[inline]
    fn slot_of(&self, offset: u64) -> Option<&AtomicU8> {
        self.slots.get(usize::try_from(offset >> self.slot.log2()).ok()?)
    }

    /// What the slot of an offset says.
    #[inline]
    pub(crate) fn at(&self, offset: u64) -> Slot {
        self.slot_of(offset).map_or(Slot::Empty, |slot| Slot::of(slot.load(Ordering::Acquire)))
    }

    /// `len` bytes at an offset are reserved for the window with a tag.
    pub(crate) fn note(&self, offset: u64, len: u64, tag: ReservationTag) {
        self.each_slot(offset, len, |slot, is_whole| {
            let before = slot.load(Ordering::Relaxed);
            let is_alone = is_whole || before == 0 || before == tag.0;
            slot.store(if is_alone { tag.0 } else { SEVERAL }, Ordering::Release);
        });
    }

    /// `len` bytes at an offset are not reserved any more: a look-up in a whole slot ends here.
    pub(crate) fn forget(&self, offset: u64, len: u64) {
        self.each_slot(offset, len, |slot, is_whole| {
            if is_whole {
                slot.store(0, Ordering::Release);
            }
        });
    }

    /// The slots that `len` bytes at an offset touch, and whether all of a slot is among them.
    fn each_slot(&self, offset: u64, len: u64, visit: impl Fn(&AtomicU8, bool)) {
        let mut at = self.slot.round_down(offset);
        while at < offset + len {
            let is_whole = at >= offset && at + self.slot.bytes() <= offset + len;
            if let Some(slot) = self.slot_of(at) {
                visit(slot, is_whole);
            }
            at += self.slot.bytes();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_names_the_window_that_is_alone_in_it() {
        let index = AddressIndex::new(8 << 21, PowerOfTwo::from_log2(21)).expect("memory");
        let [one, other] = [(0, 2), (31, 0)].map(|(pool, window)| ReservationTag::new(pool, window));
        let [is_one, is_other] = [(0, 2), (31, 0)].map(|(pool, window)| Slot::Window { pool, window });
        assert_eq!(index.at(0), Slot::Empty);
        index.note(1 << 21, 2 << 21, one);
        let found = [0, 1 << 21, (3 << 21) - 1, 3 << 21].map(|at| index.at(at));
        assert_eq!(found, [Slot::Empty, is_one, is_one, Slot::Empty]);
        index.note(1 << 21, 4096, other);
        assert_eq!(index.at(1 << 21), Slot::Several);
        index.note(1 << 21, 1 << 21, other);
        assert_eq!(index.at(1 << 21), is_other, "a whole slot is one window's again");
        index.forget(2 << 21, (1 << 21) - 4096);
        assert_eq!(index.at(2 << 21), is_one, "a part of it may still be reserved");
        index.forget(2 << 21, 1 << 21);
        assert_eq!([2 << 21, u64::MAX].map(|at| index.at(at)), [Slot::Empty; 2]);
    }

    #[test]
    fn long_zones_have_few_slots() {
        let index = AddressIndex::new(1 << 47, PowerOfTwo::from_log2(12)).expect("memory");
        assert!(index.slots.len() <= 2 << SLOTS_LOG2);
    }
}
