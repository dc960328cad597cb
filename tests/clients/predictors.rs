//! The hook that flushes predictors: when it flushes, and what a flush that refuses or panics, another hook that refuses, and
//! programs that come and go on several threads do to it.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};

use execmem::sync::ThreadLanes;
use execmem::{BackendError, Engine, Error as EngineError, Extent, Hooked, Hooks, Kind};
use execmem_arch_x86::TABLE;
use execmem_clients::bpf::FlushPredictors;
use execmem_sim::Sim;

use crate::module::heap::armed;

fn engine<H: Hooks<Kind>>(hooks: H) -> Engine<Hooked<Sim, H>> {
    Engine::new(TABLE, Hooked { memory: Sim::new(TABLE.machine()), hooks }).expect("memory")
}

fn flush<F: Fn() -> Result<(), BackendError>>(flush: F) -> FlushPredictors<F, ThreadLanes> {
    FlushPredictors::new(flush)
}

const REFUSAL: BackendError = BackendError::System { errno: 16 };

#[test]
fn the_hook_flushes_before_code_stands_where_a_program_stood_and_not_for_fresh_memory() {
    let (flushes, refuses) = (Cell::new(0), Cell::new(false));
    let engine = engine(flush(|| {
        flushes.set(flushes.get() + 1);
        if refuses.get() { Err(REFUSAL) } else { Ok(()) }
    }));
    let alloc = |kind| engine.alloc_kind(kind, 64).expect("room");
    let mut programs: Vec<_> = (0..100).map(|_| alloc(Kind::Bpf)).collect();
    let text = alloc(Kind::Text);
    engine.free(text).expect("ours");
    let text = alloc(Kind::Text);
    assert_eq!(flushes.get(), 0, "no program stood there");

    let mut odd: Vec<_> = (0..50).map(|place| programs.swap_remove(place)).collect();
    engine.free_group(&mut odd).expect("ours");
    let again = alloc(Kind::Bpf);
    assert_eq!(flushes.get(), 1, "before the address is used again");
    let more: Vec<_> = (0..49).map(|_| alloc(Kind::Text)).collect();
    assert_eq!(flushes.get(), 1, "one flush serves every address");

    engine.free(again).expect("ours");
    refuses.set(true);
    let refusal = EngineError::Hook { kind: Kind::Text.into(), source: REFUSAL };
    assert_eq!(engine.alloc_kind(Kind::Text, 64).expect_err("it cannot be flushed"), refusal);
    engine.free(alloc(Kind::Data)).expect("ours");
    refuses.set(false);
    let after = alloc(Kind::Text);
    assert_eq!(flushes.get(), 3, "the address stayed dirty");
    for draft in programs.into_iter().chain(more).chain([text, after]) {
        engine.free(draft).expect("ours");
    }
    engine.shrink();
    assert_eq!(engine.stats().bytes_mapped(), 0);
}

/// A hook that agrees to nothing.
struct Refuses;

impl Hooks<Kind> for Refuses {
    fn before_use(&self, _: Kind, _: Extent) -> Result<(), BackendError> {
        Err(REFUSAL)
    }
}

#[test]
fn programs_that_another_hook_refuses_take_no_heap_for_good() {
    let engine = engine((flush(|| Ok(())), Refuses));
    let refuse = || assert!(engine.alloc_kind(Kind::Bpf, 64).is_err());
    // The first ones map a block, and make the list.
    (0..4).for_each(|_| refuse());
    let ((), used) = armed(u64::MAX, || (0..10_000).for_each(|_| refuse()));
    assert_eq!(used.left, 0, "bytes that 10,000 refusals left");
    engine.audit().expect("audit");
}

#[test]
fn a_flush_that_panics_leaves_addresses_dirty_and_the_hook_usable() {
    let (flushes, panics) = (Cell::new(0), Cell::new(true));
    let engine = engine(flush(|| {
        assert!(!panics.get(), "a defect of the user");
        flushes.set(flushes.get() + 1);
        Ok(())
    }));
    let mut programs: Vec<_> = (0..3).map(|_| engine.alloc_kind(Kind::Bpf, 64).expect("room")).collect();
    let (other, freed) = (programs.remove(1), programs.remove(0));
    let places = [freed.extent(), other.extent()];
    engine.free(freed).expect("ours");
    engine.free(other).expect("ours");
    assert!(catch_unwind(AssertUnwindSafe(|| drop(engine.alloc_kind(Kind::Text, 64)))).is_err());
    panics.set(false);
    let text = engine.alloc_kind(Kind::Text, 64).expect("room");
    assert!(places.iter().any(|place| place.overlaps(text.extent())), "the other place, where a program stood too");
    assert_eq!(flushes.get(), 1, "what could not be flushed is dirty as before");
    engine.audit().expect("audit");
}

/// As many bytes as there may be in blocks, of which each thread may have its own.
const BLOCKS: u64 = 16 << 21;

/// Where programs went, by units of 64 bytes: the number of the first flush that has to end before other code stands there.
struct Ground {
    begun: AtomicU64,
    ended: AtomicU64,
    due: Vec<AtomicU64>,
}

impl Ground {
    fn new() -> Self {
        let due = (0..BLOCKS / 64).map(|_| AtomicU64::new(0)).collect();
        Ground { begun: AtomicU64::new(0), ended: AtomicU64::new(0), due }
    }

    fn flush(&self) {
        let number = self.begun.fetch_add(1, Ordering::SeqCst) + 1;
        (0..20).for_each(|_| std::thread::yield_now());
        self.ended.fetch_max(number, Ordering::SeqCst);
    }

    /// A program is about to go: only a flush that begins from now on counts.
    fn leave(&self, place: Extent) {
        let due = self.begun.load(Ordering::SeqCst) + 1;
        self.units(place).for_each(|unit| unit.store(due, Ordering::SeqCst));
    }

    fn units(&self, place: Extent) -> impl Iterator<Item = &AtomicU64> {
        let number = |address: u64| usize::try_from(address % BLOCKS / 64).expect("small");
        self.due[number(place.start())..=number(place.last())].iter()
    }
}

/// Comes behind the hook under test.
impl Hooks<Kind> for &Ground {
    fn before_use(&self, _: Kind, place: Extent) -> Result<(), BackendError> {
        let ended = self.ended.load(Ordering::SeqCst);
        for unit in self.units(place) {
            assert!(unit.swap(0, Ordering::SeqCst) <= ended, "{place:?} was not flushed");
        }
        Ok(())
    }
}

#[test]
fn programs_that_come_and_go_on_several_threads_never_stand_where_one_stood_unflushed() {
    const THREADS: usize = 4;
    let ground = &Ground::new();
    let hook = flush(|| {
        ground.flush();
        Ok(())
    });
    let engine = engine((hook, ground));
    let work = || {
        let mut programs = Vec::new();
        for step in 0..400 {
            programs.push(engine.alloc_kind(Kind::Bpf, 64).expect("room"));
            if programs.len() > 8 {
                let gone = programs.swap_remove(step % 8);
                ground.leave(gone.extent());
                engine.free(gone).expect("ours");
            }
        }
        programs.into_iter().for_each(|draft| engine.free(draft).expect("ours"));
    };
    std::thread::scope(|scope| (0..THREADS).for_each(|_| drop(scope.spawn(work))));
    assert!(ground.ended.load(Ordering::SeqCst) > 0);
    engine.audit().expect("audit");
}
