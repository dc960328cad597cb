//! Whose blocks are where in a zone, as far as one byte a slot can tell: what a look-up reads first.
//!
//! A zone is cut into a few thousand slots, mostly as large as a block. A slot names the window of a pool for which alone
//! addresses in it were reserved, or says that there were several; then the ledger of the zone knows. A slot may name a
//! window whose blocks have gone: that window's own ledger says that nothing is live there.

use alloc::vec::Vec;

use execmem_types::PowerOfTwo;

use crate::Error;
use crate::sync::{AtomicU8, Ordering};

/// A zone has at most twice as many slots.
const SLOTS_LOG2: u32 = 12;

/// What a slot holds in which several windows have reserved.
const SEVERAL: u8 = u8::MAX;

/// What a slot says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Home {
    /// Nothing was ever reserved there.
    Nobody,
    /// Only the window with this [tag](crate::lookup::reservation_tag) can have blocks there.
    Window(u32),
    /// Several can.
    Several,
}

/// The slots of a zone. Written under the lock of the space, read by anybody.
#[derive(Debug)]
pub(crate) struct Homes {
    slot: PowerOfTwo,
    slots: Vec<AtomicU8>,
}

impl Homes {
    /// Slots for offsets below `len`, none smaller than `block`.
    pub(crate) fn new(len: u64, block: PowerOfTwo) -> Result<Self, Error> {
        #[expect(clippy::cast_possible_truncation, reason = "a logarithm of 64 bits")]
        let least = PowerOfTwo::from_log2((len.max(1).ilog2().saturating_sub(SLOTS_LOG2)) as u8);
        let slot = block.max(least);
        let count = usize::try_from(len.div_ceil(slot.bytes())).map_err(|_| Error::OutOfMemory)?;
        let mut slots = Vec::new();
        slots.try_reserve_exact(count).map_err(|_| Error::OutOfMemory)?;
        slots.resize_with(count, || AtomicU8::new(0));
        Ok(Homes { slot, slots })
    }

    #[inline]
    fn slot_of(&self, offset: u64) -> Option<&AtomicU8> {
        self.slots.get(usize::try_from(offset >> self.slot.log2()).ok()?)
    }

    /// What is known about an offset.
    #[inline]
    pub(crate) fn at(&self, offset: u64) -> Home {
        match self.slot_of(offset).map_or(0, |slot| slot.load(Ordering::Acquire)) {
            0 => Home::Nobody,
            SEVERAL => Home::Several,
            tag => Home::Window(u32::from(tag)),
        }
    }

    /// `len` bytes at an offset are reserved for the window with a tag.
    pub(crate) fn note(&self, offset: u64, len: u64, tag: u32) {
        #[expect(clippy::cast_possible_truncation, reason = "tags are below 255")]
        let tag = tag as u8;
        let mut at = self.slot.round_down(offset);
        while at < offset + len {
            let is_whole = at >= offset && at + self.slot.bytes() <= offset + len;
            if let Some(known) = self.slot_of(at) {
                let before = known.load(Ordering::Relaxed);
                let is_alone = is_whole || before == 0 || before == tag;
                known.store(if is_alone { tag } else { SEVERAL }, Ordering::Release);
            }
            at += self.slot.bytes();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_names_whoever_is_alone_in_it() {
        let homes = Homes::new(8 << 21, PowerOfTwo::from_log2(21)).expect("memory");
        assert_eq!(homes.at(0), Home::Nobody);
        homes.note(1 << 21, 2 << 21, 1);
        assert_eq!([0, 1 << 21, (3 << 21) - 1, 3 << 21].map(|at| homes.at(at)), {
            let first = Home::Window(1);
            [Home::Nobody, first, first, Home::Nobody]
        });
        homes.note(1 << 21, 4096, 2);
        assert_eq!(homes.at(1 << 21), Home::Several);
        homes.note(1 << 21, 1 << 21, 2);
        assert_eq!(homes.at(1 << 21), Home::Window(2), "a whole slot is one window's again");
        assert_eq!(homes.at(u64::MAX), Home::Nobody);
    }

    #[test]
    fn long_zones_have_few_slots() {
        let homes = Homes::new(1 << 47, PowerOfTwo::from_log2(12)).expect("memory");
        assert!(homes.slots.len() <= 2 << SLOTS_LOG2);
    }
}
