//! An engine, and what is held of it.

use std::sync::Arc;

use execmem::{Draft, Engine, Error, Extent, Kind, KindStats, Live, Request, Reservation, Sealed, Stats, Table};
use execmem_sim::Nowhere;

use crate::facts::Locks;
use crate::heap::exempt;
use crate::memory::{IMAGE, LARGE, Make};
use crate::paint::call;
use crate::scene::{Failure, Heap, Scene};
use crate::scripts::Op;

/// Things that can be held at once.
const SLOTS: usize = 1200;

/// Bytes that are written.
static BYTES: [u8; 200] = [0x90; 200];

/// What is held.
#[derive(Debug)]
enum Held {
    Draft(Draft),
    Live(Live),
    Sealed(Sealed),
}

/// What can be seen: what kinds hold, and what is mapped.
type Picture = (Vec<(u64, u64, u64)>, u64);

/// An engine whose locks note that they are taken.
type Noting<B> = Engine<B, Kind, Locks>;

/// An engine.
#[derive(Debug)]
pub(crate) struct World<B> {
    table: Table,
    defers: bool,
    engine: Option<Arc<Noting<B>>>,
    held: Vec<Option<Held>>,
    stats: Box<Stats>,
    group: Vec<Draft>,
    published: Vec<Live>,
    reserved: Option<Reservation>,
    /// Engines that are there besides.
    _others: Vec<Engine<Nowhere>>,
}

impl<B: Make> World<B> {
    /// No engine yet.
    pub(crate) fn new(table: Table, defers: bool) -> Self {
        World {
            table,
            defers,
            engine: None,
            held: (0..SLOTS).map(|_| None).collect(),
            stats: Box::default(),
            group: Vec::new(),
            published: Vec::new(),
            reserved: None,
            _others: Vec::new(),
        }
    }

    /// The same beside other engines.
    pub(crate) fn beside(table: Table, others: usize) -> Self {
        let other = |_| Engine::new(table, Nowhere).expect("memory");
        World { _others: (0..others).map(other).collect(), ..World::new(table, false) }
    }

    fn engine(&self) -> Result<&Noting<B>, Failure> {
        self.engine.as_deref().ok_or(Failure::Missing)
    }

    fn put(&mut self, slot: usize, draft: Draft) -> Result<(), Failure> {
        self.held[slot] = Some(Held::Draft(draft));
        Ok(())
    }

    fn make(&mut self) -> Result<(), Failure> {
        let memory = exempt(|| B::make(&self.table));
        let engine = call(|| Engine::with_locks(self.table, memory))?;
        let engine = if self.defers { engine.deferring() } else { engine };
        self.engine = Some(exempt(|| Arc::new(engine)));
        Ok(())
    }

    fn write(&mut self, slot: usize) -> Result<(), Failure> {
        let engine = self.engine.as_ref().ok_or(Failure::Missing)?;
        match &mut self.held[slot] {
            Some(Held::Draft(draft)) => Ok(call(|| engine.write(draft, 0, &BYTES))?),
            _ => Err(Failure::Missing),
        }
    }

    fn read(&self, slot: usize) -> Result<(), Failure> {
        let (engine, mut bytes) = (self.engine()?, [0; 16]);
        let Some(Held::Live(live)) = &self.held[slot] else { return Err(Failure::Missing) };
        call(|| engine.read(live, 0, &mut bytes))?;
        Ok(call(|| engine.read_at(live.address(), &mut bytes))?)
    }

    /// Allocates where nothing may be mapped.
    fn alloc_within(&mut self, slot: usize, kind: Kind, len: u64) -> Result<(), Failure> {
        let engine = self.engine()?;
        match call(|| engine.request(&Request::new(kind, len).without_growth())) {
            Err(Error::NeedsGrowth { .. }) => Err(Failure::Missing),
            outcome => self.put(slot, outcome?),
        }
    }

    /// Whether what is held is data that stays writable.
    pub(crate) fn is_written_when_live(&self, slot: usize) -> bool {
        let kind = match &self.held[slot] {
            Some(Held::Draft(draft)) => draft.kind(),
            Some(Held::Live(live)) => live.kind(),
            Some(Held::Sealed(sealed)) => sealed.kind(),
            None => return false,
        };
        kind.class().is_written_when_live()
    }

    fn publish(&mut self, slot: usize) -> Result<(), Failure> {
        let Some(Held::Draft(draft)) = self.held[slot].take() else { return Err(Failure::Missing) };
        let engine = self.engine()?;
        let (held, outcome) = match call(|| engine.publish(draft)) {
            Ok(live) => (Held::Live(live), Ok(())),
            Err(failed) => (Held::Draft(failed.handle), Err(failed.error.into())),
        };
        self.held[slot] = Some(held);
        outcome
    }

    fn seal(&mut self, slot: usize) -> Result<(), Failure> {
        let Some(Held::Live(live)) = self.held[slot].take() else { return Err(Failure::Missing) };
        let engine = self.engine()?;
        let (held, outcome) = match call(|| engine.seal(live)) {
            Ok(sealed) => (Held::Sealed(sealed), Ok(())),
            Err(failed) => (Held::Live(failed.handle), Err(failed.error.into())),
        };
        self.held[slot] = Some(held);
        outcome
    }

    fn patch(&self, slot: usize, bytes: &[u8], is_word: bool) -> Result<(), Failure> {
        let Some(Held::Live(live)) = &self.held[slot] else { return Err(Failure::Missing) };
        let engine = self.engine()?;
        let outcome = match is_word {
            true => call(|| engine.patch(live, 64, bytes)),
            false => call(|| engine.patch_unexecuted(live, 64, bytes)),
        };
        match outcome {
            // Machines and rows differ in what they store at once.
            Err(Error::NotWhole { .. }) => Ok(()),
            outcome => Ok(outcome?),
        }
    }

    fn split(&mut self, slot: usize, into: usize, len: u64) -> Result<(), Failure> {
        let engine = self.engine.as_ref().ok_or(Failure::Missing)?;
        let second = match self.held[slot].as_mut().ok_or(Failure::Missing)? {
            Held::Draft(draft) => Held::Draft(call(|| engine.split(draft, len))?),
            Held::Live(live) => Held::Live(call(|| engine.split(live, len))?),
            Held::Sealed(sealed) => Held::Sealed(call(|| engine.split(sealed, len))?),
        };
        self.held[into] = Some(second);
        Ok(())
    }

    fn truncate(&mut self, slot: usize, len: u64) -> Result<(), Failure> {
        let engine = self.engine.as_ref().ok_or(Failure::Missing)?;
        let outcome = match self.held[slot].as_mut().ok_or(Failure::Missing)? {
            Held::Draft(draft) => call(|| engine.truncate(draft, len)),
            Held::Live(live) => call(|| engine.truncate(live, len)),
            Held::Sealed(sealed) => call(|| engine.truncate(sealed, len)),
        };
        Ok(outcome?)
    }

    fn free(&mut self, slot: usize) -> Result<(), Failure> {
        let held = self.held[slot].take().ok_or(Failure::Missing)?;
        let engine = self.engine()?;
        let outcome = match held {
            Held::Draft(draft) => call(|| engine.free(draft)).map_err(|failed| failed.error),
            Held::Live(live) => call(|| engine.free(live)).map_err(|failed| failed.error),
            Held::Sealed(sealed) => call(|| engine.free(sealed)).map_err(|failed| failed.error),
        };
        Ok(outcome?)
    }

    fn publish_group(&mut self) -> Result<(), Failure> {
        let drafts = core::mem::take(&mut self.group);
        let engine = self.engine()?;
        match call(|| engine.publish_group(drafts)) {
            Ok(live) => {
                self.published = live;
                Ok(())
            }
            Err(failed) => {
                self.group = failed.handle;
                Err(failed.error.into())
            }
        }
    }

    fn free_group(&mut self) -> Result<(), Failure> {
        let engine = self.engine.as_ref().ok_or(Failure::Missing)?;
        call(|| engine.free_group(&mut self.group))?;
        Ok(call(|| engine.free_group(&mut self.published))?)
    }

    fn own_and_drop(&mut self, slot: usize) -> Result<(), Failure> {
        let Some(Held::Draft(draft)) = self.held[slot].take() else { return Err(Failure::Missing) };
        let engine = self.engine.as_ref().ok_or(Failure::Missing)?;
        let owned = draft.owned_by(Arc::clone(engine)).map_err(|failed| failed.error)?;
        let live = call(|| owned.publish()).map_err(|failed| failed.error)?;
        call(|| drop(live));
        Ok(())
    }

    fn donate(&self, number: u64) -> Result<(), Failure> {
        let extent = Extent::new(IMAGE + LARGE.bytes() / 2 + number * 0x4000, 0x4000).ok_or(Failure::Missing)?;
        let engine = self.engine()?;
        match call(|| engine.donate(Kind::Text, extent, LARGE)) {
            // There is nothing to give here, or the row does not take it.
            Err(Error::BadDonation { .. } | Error::Backend { .. }) => Ok(()),
            outcome => Ok(outcome?),
        }
    }

    /// What concerns everything held.
    fn look_after(&mut self, op: Op) -> Result<(), Failure> {
        match op {
            Op::Stats => {
                let Some(engine) = &self.engine else { return Err(Failure::Missing) };
                call(|| engine.stats_into(&mut self.stats));
                Ok(())
            }
            Op::Audit => {
                let engine = self.engine()?;
                Ok(call(|| engine.audit())?)
            }
            Op::AuditUnused => match self.defers {
                // What waits for `maintain` holds what it held.
                true => Ok(()),
                false => {
                    let engine = self.engine()?;
                    Ok(call(|| engine.audit_unused())?)
                }
            },
            Op::Maintain => {
                let engine = self.engine()?;
                call(|| engine.maintain());
                Ok(())
            }
            Op::Shrink => {
                let engine = self.engine()?;
                call(|| engine.shrink());
                Ok(())
            }
            Op::ShrinkExclusively => {
                let engine = self.engine.as_mut().and_then(Arc::get_mut).ok_or(Failure::Missing)?;
                call(|| engine.shrink_exclusively());
                Ok(())
            }
            _ => Err(Failure::Missing),
        }
    }
}

impl<B: Make> Scene for World<B> {
    type Op = Op;
    type Picture = Picture;

    fn run(&mut self, op: Op) -> Result<(), Failure> {
        match op {
            Op::Make => self.make(),
            Op::Alloc(slot, kind, len) => {
                let engine = self.engine()?;
                let draft = call(|| engine.alloc_kind(kind, len))?;
                self.put(slot, draft)
            }
            Op::AllocFor(slot, kind, len, owner) => {
                let engine = self.engine()?;
                let draft = call(|| engine.request(&Request::new(kind, len).owned_by(owner)))?;
                self.put(slot, draft)
            }
            Op::AllocWithin(slot, kind, len) => self.alloc_within(slot, kind, len),
            Op::Write(slot) => self.write(slot),
            Op::Read(slot) => self.read(slot),
            Op::Publish(slot) => self.publish(slot),
            Op::Seal(slot) => self.seal(slot),
            Op::PatchWord(slot) => self.patch(slot, &BYTES[..4], true),
            Op::PatchLong(slot) => self.patch(slot, &BYTES, false),
            Op::Split(slot, into, len) => self.split(slot, into, len),
            Op::Truncate(slot, len) | Op::TruncateAgain(slot, len) => self.truncate(slot, len),
            Op::Free(slot) => self.free(slot),
            Op::AllocGroup(wanted) => {
                let engine = self.engine()?;
                self.group = call(|| engine.alloc_group(wanted))?;
                Ok(())
            }
            Op::PublishGroup => self.publish_group(),
            Op::FreeGroup => self.free_group(),
            Op::OwnAndDrop(slot) => self.own_and_drop(slot),
            Op::Reserve(kind, len, count) => {
                let engine = self.engine()?;
                self.reserved = Some(call(|| engine.reserve(&Request::new(kind, len), count))?);
                Ok(())
            }
            Op::Take(slot) => {
                let reserved = self.reserved.as_mut().ok_or(Failure::Missing)?;
                let draft = call(|| reserved.take()).ok_or(Failure::Missing)?;
                self.put(slot, draft)
            }
            Op::Donate(number) => self.donate(number),
            Op::Find(slot) => {
                let Some(Held::Live(live)) = &self.held[slot] else { return Err(Failure::Missing) };
                let engine = self.engine()?;
                let found = call(|| engine.find(live.address() + 1)).map(|found| found.extent);
                if found == Some(live.extent()) {
                    Ok(())
                } else {
                    Err(Error::NotFound { address: live.address() }.into())
                }
            }
            _ => self.look_after(op),
        }
    }

    fn heap(op: Op) -> Heap {
        match op {
            Op::Make
            | Op::Alloc(..)
            | Op::AllocFor(..)
            | Op::AllocWithin(..)
            | Op::AllocGroup(_)
            | Op::PublishGroup
            | Op::Reserve(..)
            | Op::Donate(_)
            | Op::PatchLong(_)
            | Op::Split(..)
            | Op::Truncate(..) => Heap::Needed,
            Op::Shrink | Op::ShrinkExclusively => Heap::Welcome,
            _ => Heap::Untouched,
        }
    }

    fn reads_memory(op: Op) -> bool {
        matches!(op, Op::AuditUnused)
    }

    fn picture(&self) -> Picture {
        let Some(engine) = &self.engine else { return (Vec::new(), 0) };
        let of = |stats: KindStats| (stats.live, stats.bytes_requested, stats.bytes_granted);
        let kinds = Kind::ALL.iter().map(|kind| of(engine.kind_stats(*kind))).collect();
        // Empty blocks of a group that failed may stay for the next allocation.
        (kinds, self.held.iter().flatten().count() as u64)
    }

    fn check(&self) -> Result<(), String> {
        self.engine.as_ref().map_or(Ok(()), |engine| engine.audit().map_err(|broken| broken.to_string()))
    }

    fn end(mut self) -> Result<(), String> {
        if self.engine.is_none() {
            return Ok(());
        }
        for slot in 0..SLOTS {
            if self.held[slot].is_some() {
                self.free(slot).map_err(|failure| format!("{failure:?}"))?;
            }
        }
        self.group.extend(self.reserved.take().into_iter().flat_map(Reservation::into_drafts));
        self.free_group().map_err(|failure| format!("{failure:?}"))?;
        let Some(mut engine) = self.engine.take().and_then(Arc::into_inner) else { return Err("shared".to_owned()) };
        engine.shrink_exclusively();
        engine.audit().map_err(|broken| broken.to_string())?;
        let stats = engine.stats();
        let withheld: u64 = stats.pools().map(|(_, pool)| pool.bytes_withheld).sum();
        match (stats.bytes_mapped(), withheld) {
            (0, 0) => Ok(()),
            left => Err(format!("{left:?} bytes stay mapped, withheld")),
        }
    }
}
