//! For each of many slots a number, and a fast search for the next slot whose number is large enough.
//!
//! A tree of maxima with 64 children a node. Numbers that were never set are zero and take no memory at the lowest
//! level. Raising a number touches only the ancestors it exceeds; lowering one recomputes an ancestor only where the
//! old number was its maximum.

use alloc::{boxed::Box, vec::Vec};

use crate::{Error, memory};

const FAN: usize = 64;
/// Levels above the slots. 64⁴ slots are more than the 2²³ buckets of the largest arena.
const LEVELS: usize = 3;

/// The numbers and the maxima over them.
#[derive(Debug, Default)]
pub(super) struct Peaks {
    slots: Vec<Option<Box<[u32; FAN]>>>,
    /// `above[k][i]` is the maximum over the 64 children `i` has one level below.
    above: [Vec<u32>; LEVELS],
}

/// Which end a search starts from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Toward {
    Higher,
    Lower,
}

impl Peaks {
    /// Makes sure that the number of `slot` can be set without allocating.
    pub(super) fn reserve(&mut self, slot: usize) -> Result<(), Error> {
        let mut group = slot / FAN;
        if let Some(Some(_)) = self.slots.get(group) {
            return Ok(());
        }
        let numbers = memory::try_array(0)?;
        memory::try_extend(&mut self.slots, group + 1)?;
        for level in &mut self.above {
            memory::try_extend(level, group + 1)?;
            group /= FAN;
        }
        self.slots[slot / FAN] = Some(numbers);
        Ok(())
    }

    /// The numbers of one node's children; fewer than 64 at the end, none where nothing was ever set.
    fn children(&self, level: usize, node: usize) -> &[u32] {
        match level.checked_sub(1) {
            None => self.slots.get(node).and_then(|group| group.as_deref()).map_or(&[], |group| group),
            Some(above) => {
                let numbers = &self.above[above];
                let first = (node * FAN).min(numbers.len());
                &numbers[first..(first + FAN).min(numbers.len())]
            }
        }
    }

    /// The number of a slot.
    pub(super) fn get(&self, slot: usize) -> u32 {
        self.children(0, slot / FAN).get(slot % FAN).copied().unwrap_or(0)
    }

    /// Raises the number of a slot to at least `number`.
    #[inline]
    pub(super) fn raise(&mut self, slot: usize, number: u32) {
        if self.get(slot) < number {
            self.set(slot, number);
        }
    }

    /// Sets the number of a slot, for which room must have been [reserved](Self::reserve).
    pub(super) fn set(&mut self, slot: usize, number: u32) {
        let group = self.slots.get_mut(slot / FAN).and_then(|group| group.as_deref_mut());
        let Some(group) = group else {
            panic!("I9: no room was reserved for the number of slot {slot}");
        };
        let old = core::mem::replace(&mut group[slot % FAN], number);
        self.propagate(slot / FAN, old, number);
    }

    /// Carries a change of one child from `old` to `new` upward, as far as it matters.
    fn propagate(&mut self, mut node: usize, mut old: u32, new: u32) {
        let mut new = new;
        for level in 0..LEVELS {
            let maximum = self.above[level][node];
            let updated = if new >= maximum {
                new
            } else if old == maximum {
                max_of(self.children(level, node))
            } else {
                return;
            };
            if updated == maximum {
                return;
            }
            self.above[level][node] = updated;
            (old, new) = (maximum, updated);
            node /= FAN;
        }
    }

    /// The nearest slot at or beyond `slot` in the given direction whose number is at least `number`.
    pub(super) fn next_at_least(&self, slot: usize, number: u32, toward: Toward) -> Option<usize> {
        let mut index = slot;
        for level in 0..=LEVELS {
            if let Some(found) = search(self.children(level, index / FAN), index % FAN, number, toward) {
                return self.descend(level, index / FAN * FAN + found, number, toward);
            }
            index = match toward {
                Toward::Higher => index / FAN + 1,
                Toward::Lower => (index / FAN).checked_sub(1)?,
            };
        }
        None
    }

    /// The outermost slot below a node that is known to have one.
    fn descend(&self, level: usize, node: usize, number: u32, toward: Toward) -> Option<usize> {
        let mut index = node;
        for level in (0..level).rev() {
            let from = if toward == Toward::Higher { 0 } else { FAN - 1 };
            index = index * FAN + search(self.children(level, index), from, number, toward)?;
        }
        Some(index)
    }

    /// Bytes of heap in use.
    pub(super) fn heap_bytes(&self) -> usize {
        let slots =
            self.slots.iter().flatten().count() * size_of::<[u32; FAN]>() + self.slots.capacity() * size_of::<usize>();
        slots + self.above.iter().map(|level| level.capacity() * 4).sum::<usize>()
    }
}

fn max_of(numbers: &[u32]) -> u32 {
    numbers.iter().copied().max().unwrap_or(0)
}

fn search(numbers: &[u32], from: usize, at_least: u32, toward: Toward) -> Option<usize> {
    match toward {
        Toward::Higher => {
            let rest = numbers.get(from..)?;
            rest.iter().position(|&number| number >= at_least).map(|found| from + found)
        }
        Toward::Lower => {
            let rest = &numbers[..numbers.len().min(from + 1)];
            rest.iter().rposition(|&number| number >= at_least)
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

    #[test]
    fn searches_agree_with_a_scan() {
        const SLOTS: usize = 300_000;
        let mut peaks = Peaks::default();
        let mut plain = vec![0_u32; SLOTS];
        let mut seed = 3_u64;
        let slot_of = |number: u64| usize::try_from(number % SLOTS as u64).expect("small");
        for step in 0..4_000_usize {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let slot = slot_of(seed >> 33);
            let number = u32::try_from(seed >> 20 & 0xff).expect("8 bits");
            peaks.reserve(slot).expect("memory");
            peaks.set(slot, number);
            plain[slot] = number;
            if step % 16 != 0 {
                continue;
            }
            let from = slot_of(seed >> 11);
            assert_eq!(
                peaks.next_at_least(from, 250, Toward::Higher),
                plain[from..].iter().position(|&n| n >= 250).map(|found| from + found)
            );
            assert_eq!(peaks.next_at_least(from, 250, Toward::Lower), plain[..=from].iter().rposition(|&n| n >= 250));
        }
    }
}
