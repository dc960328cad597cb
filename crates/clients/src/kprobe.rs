//! Kprobes: slots for instructions that are executed elsewhere than where they stand.
//!
//! A probed instruction is replaced by a breakpoint; when it is hit, a copy of the instruction runs in a *slot*. Slots
//! are small allocations of the engine, of the kind [`Kind::Kprobe`]: there are no pages of slots
//! here, so they lie wherever code of other callers leaves a gap.
//!
//! | state | memory | next |
//! |---|---|---|
//! | clean | a draft kept for the next request | used, by [`Kprobes::insert`] |
//! | used | published code | dirty, by [`Kprobes::release`] |
//! | dirty | published code that some processor may still be in | clean or freed, by [`Kprobes::collect`] |
//!
//! As many clean slots are kept as fit one page: the loop of one probe that comes and goes asks the engine for nothing.
//! Source of states and numbers: `kernel/kprobes.c`, `collect_garbage_slots` and `collect_one_slot`.

mod format;
mod place;
pub mod word;
#[cfg(feature = "x86-decoder")]
pub mod x86;

use alloc::vec::Vec;

use execmem::sync::Lock;
use execmem::{Draft, EngineRef, Extent, Kind, KnownKind as _, Live};

use crate::client::{Client, Held, Spin};
use crate::{Credit, Error, Id, KprobeKinds, Usage};

pub use format::SlotFormat;
pub use place::PlacedProbe;

/// Clean slots are kept as long as they fit so many bytes.
const PAGE_BYTES: u64 = 4096;

/// A slot that holds an instruction.
#[derive(Debug)]
pub struct Slot<S: KprobeKinds = Kind> {
    code: Live<S::Kprobe>,
    is_dirty: bool,
    /// The slot that was released before this one, and is dirty too.
    before: Option<Id<Slot<S>>>,
}

impl<S: KprobeKinds> Held for Slot<S> {
    type Kind = S::Kprobe;

    fn extent(&self) -> Extent {
        self.code.extent()
    }

    fn into_code(self) -> Live<S::Kprobe> {
        self.code
    }
}

/// A list of dirty slots, which goes through the slots: releasing one takes no heap.
#[derive(Debug)]
struct Dirty<S: KprobeKinds> {
    last: Option<Id<Slot<S>>>,
    count: usize,
}

impl<S: KprobeKinds> Default for Dirty<S> {
    fn default() -> Self {
        Dirty { last: None, count: 0 }
    }
}

/// Slots by state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Slots {
    /// Kept for the next requests.
    pub clean: usize,
    /// Released, and not collected yet.
    pub dirty: usize,
    /// In use.
    pub used: usize,
}

/// The instruction slots of one engine.
#[derive(Debug)]
pub struct Kprobes<E: EngineRef<Set: KprobeKinds>> {
    client: Client<E, Slot<E::Set>>,
    format: SlotFormat,
    /// Clean slots that are kept, and dirty ones beyond which it is time to collect.
    kept: usize,
    clean: Lock<Spin<E>, Vec<CleanSlot<E>>>,
    /// What was released since a thread last began to collect.
    dirty: Lock<Spin<E>, Dirty<E::Set>>,
}

/// A slot that is kept.
type CleanSlot<E> = Draft<<<E as EngineRef>::Set as KprobeKinds>::Kprobe>;

impl<E: EngineRef<Set: KprobeKinds>> Kprobes<E> {
    /// Slots of a format, of at most `limit` bytes together.
    pub fn new(engine: E, format: SlotFormat, limit: u64) -> Self {
        let kind = <E::Set as KprobeKinds>::Kprobe::KIND;
        let granted = engine.engine().table().quantum(kind).round_up(format.bytes).unwrap_or(PAGE_BYTES);
        let kept = usize::try_from(PAGE_BYTES / granted.max(1)).unwrap_or(0).max(1);
        let client = Client::new(engine, limit);
        Kprobes { client, format, kept, clean: Lock::new(Vec::new()), dirty: Lock::new(Dirty::default()) }
    }

    /// Puts code into a slot. `build` makes it for the address of the slot.
    ///
    /// # Errors
    ///
    /// What `build` says; [`Error::CodeTooLong`], [`Error::OverLimit`], [`Error::Engine`]. Nothing stays in use then.
    pub fn insert(&self, build: impl FnOnce(u64) -> Result<Vec<u8>, Error>) -> Result<Id<Slot<E::Set>>, Error> {
        let room = self.format.bytes;
        self.client.make_room()?;
        let draft = match self.clean.with(Vec::pop) {
            Some(draft) => draft,
            None => self.client.alloc(room, Credit::Limited)?,
        };
        let code = build(draft.address()).and_then(|code| match code.len() as u64 {
            len if len > room => Err(Error::CodeTooLong { len, room }),
            _ => Ok(code),
        });
        match code {
            Ok(code) => {
                let code = self.client.publish(draft, &code)?;
                self.client.hold(Slot { code, is_dirty: false, before: None })
            }
            Err(error) => {
                // Nothing was written to it.
                self.keep(draft);
                Err(error)
            }
        }
    }

    /// Where the code of a slot stands.
    ///
    /// # Errors
    ///
    /// [`Error::StaleId`], [`Error::ForeignId`].
    pub fn address(&self, slot: Id<Slot<E::Set>>) -> Result<u64, Error> {
        self.client.with(slot, |slot| Ok(slot.code.address()))
    }

    /// Gives a slot up. Processors may still be in it: it keeps its code, and is found by address, until it is
    /// collected. Returns whether so many are dirty that it is time for that: more than fit one page.
    ///
    /// # Errors
    ///
    /// [`Error::StaleId`] if it was released before; [`Error::ForeignId`].
    pub fn release(&self, slot: Id<Slot<E::Set>>) -> Result<bool, Error> {
        self.dirty.with(|dirty| {
            self.client.with(slot, |held| match held.is_dirty {
                true => Err(Error::StaleId { index: slot.index() }),
                false => {
                    held.is_dirty = true;
                    held.before = dirty.last.replace(slot);
                    dirty.count += 1;
                    Ok(dirty.count > self.kept)
                }
            })
        })
    }

    /// Waits until no processor is in any slot that is dirty now, by calling `grace`, and destroys these slots. Returns
    /// how many.
    pub fn collect(&self, grace: impl FnOnce()) -> usize {
        let dirty = self.dirty.with(core::mem::take);
        if dirty.last.is_none() {
            return 0;
        }
        grace();
        let (mut count, mut next) = (0, dirty.last);
        while let Some(Ok(slot)) = next.map(|id| self.client.take(id)) {
            next = slot.before;
            self.client.free(slot.code);
            count += 1;
        }
        self.refill(count);
        count
    }

    /// Keeps up to `count` clean slots, and no more than fit one page.
    fn refill(&self, count: usize) {
        for _ in 0..count {
            if self.clean.with(|clean| clean.len() >= self.kept) {
                return;
            }
            // If there is no memory, none is kept.
            let Ok(draft) = self.client.alloc(self.format.bytes, Credit::Limited) else { return };
            self.keep(draft);
        }
    }

    fn keep(&self, draft: CleanSlot<E>) {
        let surplus = self.clean.with(|clean| {
            if clean.len() >= self.kept || clean.try_reserve(1).is_err() {
                return Some(draft);
            }
            clean.push(draft);
            None
        });
        surplus.into_iter().for_each(|draft| self.client.free(draft));
    }

    /// The slot that an address lies in, dirty ones included: whether a processor that stopped there was in a probe.
    #[must_use]
    pub fn find(&self, address: u64) -> Option<Id<Slot<E::Set>>> {
        self.client.find(address)
    }

    /// How many slots there are. Asks every one of them.
    #[must_use]
    pub fn slots(&self) -> Slots {
        let dirty = self.client.count(|slot| slot.is_dirty);
        let used = self.client.count(|slot| !slot.is_dirty);
        Slots { clean: self.clean.with(|clean| clean.len()), dirty, used }
    }

    /// What the slots, clean ones included, take of the engine's memory.
    #[must_use]
    pub fn usage(&self) -> Usage {
        self.client.usage()
    }

    /// Frees every slot, in use or not, once `grace` says that no processor is in one.
    pub fn close(self, grace: impl FnOnce()) {
        grace();
        self.client.free_all();
        self.clean.with(core::mem::take).into_iter().for_each(|draft| self.client.free(draft));
    }
}
