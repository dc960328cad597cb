//! Where calls may run: what happens under which lock, and what a call makes the memory do where a thread must not wait.
#![expect(unsafe_code, reason = "a lock that notes that it is held implements an unsafe trait")]

use std::cell::Cell;

use crate::module::heap::armed;
use execmem::kinds::{Data, RoAfterInit, Text};
use execmem::sync::{Locking, RawMutex, ThreadLanes};
use execmem::{BackendError, Engine, Error, Extent, Kind, Live, Owner, PageSize, Protection, Request, Table};
use execmem_arch_x86::{TABLE, X86_FLIP, X86_STRICT};
use execmem_sim::{Control, Sim};
use execmem_types::{Access, Backend, Mapping, NamedTable, SyncScope, Trap};

std::thread_local! {
    /// Spinning locks that this thread holds.
    static SPINNING: Cell<u32> = const { Cell::new(0) };
    /// This thread must not wait.
    static IS_ATOMIC: Cell<bool> = const { Cell::new(false) };
}

type Plain = <ThreadLanes as Locking>::Spin;

/// A lock that spins: while it is held, nothing slow may happen, and no other one may be taken.
struct Spin(Plain);

// SAFETY: it is locked exactly while the lock inside is, which keeps the promise of the trait.
unsafe impl RawMutex for Spin {
    const INIT: Self = Spin(Plain::INIT);
    type GuardMarker = <Plain as RawMutex>::GuardMarker;

    fn lock(&self) {
        assert_eq!(SPINNING.replace(1), 0, "two locks that spin at once");
        self.0.lock();
    }

    fn try_lock(&self) -> bool {
        let is_locked = self.0.try_lock();
        if is_locked {
            assert_eq!(SPINNING.replace(1), 0, "two locks that spin at once");
        }
        is_locked
    }

    unsafe fn unlock(&self) {
        SPINNING.set(0);
        // SAFETY: the caller holds it, as the trait demands.
        unsafe { self.0.unlock() }
    }
}

/// A lock that may sleep: not where a thread must not wait.
struct Sleep(Plain);

// SAFETY: it is locked exactly while the lock inside is, which keeps the promise of the trait.
unsafe impl RawMutex for Sleep {
    const INIT: Self = Sleep(Plain::INIT);
    type GuardMarker = <Plain as RawMutex>::GuardMarker;

    fn lock(&self) {
        slow("a lock that sleeps");
        self.0.lock();
    }

    fn try_lock(&self) -> bool {
        self.0.try_lock()
    }

    unsafe fn unlock(&self) {
        // SAFETY: the caller holds it, as the trait demands.
        unsafe { self.0.unlock() }
    }
}

struct Locks;

impl Locking for Locks {
    type Spin = Spin;
    type Sleep = Sleep;

    fn shard_hint() -> usize {
        0
    }
}

/// Something that waits.
fn slow(what: &str) {
    assert_eq!(SPINNING.get(), 0, "{what} under a lock that spins");
    assert!(!IS_ATOMIC.get(), "{what} where a thread must not wait");
}

/// Something that copies bytes: no thread has to wait for it, and still not under a lock that spins.
fn quick(what: &str) {
    assert_eq!(SPINNING.get(), 0, "{what} under a lock that spins");
}

/// A simulated machine that checks where its calls come from.
struct Checked(Sim);

impl Backend for Checked {
    fn map(&self, mapping: &Mapping) -> Result<(), BackendError> {
        slow("map");
        self.0.map(mapping)
    }
    fn unmap(&self, extent: Extent) -> Result<(), BackendError> {
        slow("unmap");
        self.0.unmap(extent)
    }
    fn protect(&self, extent: Extent, protection: Protection) -> Result<(), BackendError> {
        slow("protect");
        self.0.protect(extent, protection)
    }
    fn write(&self, access: Access, address: u64, bytes: &[u8]) -> Result<(), BackendError> {
        quick("write");
        self.0.write(access, address, bytes)
    }
    fn fill(&self, access: Access, extent: Extent, pattern: Trap) -> Result<(), BackendError> {
        quick("fill");
        self.0.fill(access, extent, pattern)
    }
    fn read(&self, address: u64, bytes: &mut [u8]) -> Result<(), BackendError> {
        quick("read");
        self.0.read(address, bytes)
    }
    fn sync_code(&self, extent: Extent, scope: SyncScope) -> Result<(), BackendError> {
        slow("sync");
        self.0.sync_code(extent, scope)
    }
    fn collapses(&self) -> bool {
        true
    }
    fn collapse(&self, extent: Extent, page: PageSize) -> Result<(), BackendError> {
        slow("collapse");
        self.0.collapse(extent, page)
    }
}

fn engine(table: Table) -> (Engine<Checked, Kind, Locks>, Control) {
    let sim = Sim::new(table.machine());
    let control = sim.control();
    (Engine::with_locks(table, Checked(sim)).expect("memory"), control)
}

/// Does something where a thread must not wait.
fn atomically<O>(body: impl FnOnce() -> O) -> O {
    IS_ATOMIC.set(true);
    let outcome = body();
    IS_ATOMIC.set(false);
    outcome
}

#[test]
fn nothing_slow_happens_under_a_lock_that_spins() {
    for NamedTable { table, .. } in execmem_arch_x86::TABLES {
        let (engine, control) = engine(*table);
        for kind in Kind::ALL {
            let mut drafts: Vec<_> =
                (0..20).map(|number| engine.alloc_kind(kind, 1 + number * 977).expect("room")).collect();
            let rest = engine.split(&mut drafts[19], 4096);
            drafts.extend(rest);
            drafts.iter_mut().for_each(|draft| engine.write(draft, 0, &[1]).expect("a draft"));
            let mut live: Vec<_> = drafts.into_iter().map(|draft| engine.publish(draft).expect("memory")).collect();
            let half = live.split_off(10);
            live.into_iter().for_each(|live| engine.free(live).expect("ours"));
            let mut half = half;
            engine.free_group(&mut half).expect("ours");
        }
        engine.audit_unused().expect("traps");
        engine.shrink();
        assert!(control.leaves().is_empty());
    }
}

#[test]
fn an_engine_that_defers_frees_where_a_thread_must_not_wait() {
    for table in [TABLE, X86_STRICT, X86_FLIP] {
        let (engine, control) = engine(table);
        let engine = engine.deferring();
        let publish = |kind| engine.publish(engine.alloc_kind(kind, 300).expect("room")).expect("memory");
        let mut live: Vec<_> = (0..12).flat_map(|_| Kind::ALL.map(publish)).collect();
        let sealed = engine.seal(engine.publish(engine.alloc::<RoAfterInit>(64).expect("room")).expect("memory"));
        let (syncs, half) = (control.counts().code_syncs, live.split_off(60));
        atomically(|| {
            live.into_iter().for_each(|live| engine.free(live).expect("ours"));
            let mut half = half;
            engine.free_group(&mut half).expect("ours");
            engine.free(sealed.expect("memory")).expect("ours");
        });
        assert_eq!(control.counts().code_syncs, syncs, "no processor was asked");
        let waits: u64 = engine.stats().pools().map(|(_, pool)| pool.bytes_withheld).sum();
        assert!(waits > 0, "code waits for processors");
        engine.maintain();
        assert!(engine.stats().pools().all(|(_, pool)| pool.bytes_withheld == 0));
        engine.audit_unused().expect("all of it is destroyed");
        engine.shrink();
        assert!(control.leaves().is_empty());
    }
}

#[test]
fn memory_that_waits_is_not_handed_out_and_what_lies_beside_it_is() {
    let (engine, _) = engine(TABLE);
    let engine = engine.deferring();
    let functions: Vec<_> = (0..100).map(|_| engine.alloc::<Text>(64).expect("room")).collect();
    let kept: Vec<_> = functions.iter().map(|draft| draft.extent()).collect();
    atomically(|| {
        functions.into_iter().for_each(|draft| engine.free(draft).expect("ours"));
        let request = Request::new(Kind::Text, 4096).without_growth();
        let draft = engine.request(&request).expect("the rest of the block serves");
        assert!(kept.iter().all(|extent| !extent.overlaps(draft.extent())));
        engine.free(draft).expect("ours");
    });
    assert_eq!(engine.stats().pools().map(|(_, pool)| pool.blocks).sum::<u64>(), 1);
    engine.maintain();
    let again = engine.alloc::<Text>(6400).expect("room");
    assert!(again.extent().overlaps(kept[0]), "it serves again");
    engine.free(again).expect("ours");
}

#[test]
fn an_allocation_without_growth_maps_nothing_and_says_what_to_do() {
    for table in [TABLE, X86_FLIP] {
        let (engine, control) = engine(table);
        let request = |kind, len| Request::new(kind, len).without_growth();
        let refused = atomically(|| engine.request(&request(Kind::Text, 100)).expect_err("nothing is mapped"));
        assert!(matches!(refused, Error::NeedsGrowth { kind, .. } if kind == Kind::Text), "{refused}");
        engine.free(engine.alloc::<Text>(100).expect("memory")).expect("ours");
        let maps = control.counts().maps;
        let draft = atomically(|| engine.request(&request(Kind::Text, 100)).expect("the block is there"));
        assert_eq!(control.counts().maps, maps);
        engine.free(draft).expect("ours");
        engine.audit().expect("audit");
    }
}

#[test]
fn what_is_reserved_is_there_without_heap_locks_and_maps_whatever_others_take() {
    for (table, kind) in [TABLE, X86_FLIP].into_iter().flat_map(|table| Kind::ALL.map(|kind| (table, kind))) {
        let (engine, control) = engine(table);
        let mut reserved = engine.reserve(&Request::new(kind, 5000), 50).expect("memory");
        // Another takes all there is.
        control.refuse_from(0);
        let others: Vec<_> = core::iter::from_fn(|| engine.alloc_kind(kind, 5000).ok()).collect();
        let (calls, mut taken) = (control.calls(), Vec::with_capacity(50));
        let ((), used) = atomically(|| armed(0, || taken.extend(core::iter::from_fn(|| reserved.take()))));
        assert_eq!((taken.len(), control.calls(), used.requests), (50, calls, 0), "{kind}");
        control.refuse_nothing();
        for draft in taken.into_iter().chain(others) {
            engine.free(draft).expect("ours");
        }
        engine.audit().expect("audit");
    }
}

#[test]
fn a_reservation_is_all_or_nothing_and_what_is_left_goes_back() {
    let (engine, control) = engine(TABLE);
    let request = Request::new(Kind::Text, 1 << 20);
    assert!(engine.reserve(&request, usize::MAX).is_err());
    for nth in 0..4 {
        control.refuse_from(nth);
        assert!(engine.reserve(&request, 20).is_err(), "request {nth}");
        control.refuse_nothing();
        assert_eq!(engine.kind_stats(Kind::Text).live, 0);
    }
    let mut reserved = engine.reserve(&request.owned_by(Owner(7)), 20).expect("memory");
    let one = reserved.take().expect("20");
    assert_eq!(engine.find(one.address()).expect("live").owner, Owner(7));
    assert_eq!((reserved.len(), reserved.is_empty()), (19, false));
    engine.free_group(&mut reserved.into_drafts()).expect("ours");
    engine.free(one).expect("ours");
    assert!(engine.reserve(&request, 0).expect("nothing").is_empty());
    drop(engine.reserve(&request, 3).expect("memory"));
    assert_eq!(engine.kind_stats(Kind::Text).dropped, 3);
    engine.audit().expect("audit");
}

#[test]
fn look_ups_and_drafts_need_no_lock_that_sleeps() {
    let (engine, _) = engine(TABLE);
    let mut code = engine.alloc::<Text>(100).expect("room");
    let data = engine.publish(engine.alloc::<Data>(100).expect("room")).expect("memory");
    atomically(|| {
        engine.write(&mut code, 0, &[0xc3]).expect("a draft");
        assert!(engine.find(data.address() + 99).is_some());
        assert_eq!(engine.kind_stats(Kind::Text).live, 1);
        engine.audit().expect("audit");
    });
    engine.free(code).expect("ours");
    engine.free(data).expect("ours");
}

#[test]
fn inv_06_places_of_a_batch_that_is_refused_stay_withheld_and_serve_later() {
    const COUNT: u64 = 40;
    let mut whole = 0;
    for nth in 0.. {
        let (engine, control) = engine(TABLE);
        let engine = engine.deferring();
        let function = |_| engine.publish(engine.alloc::<Text>(64).expect("room")).expect("memory");
        // Every second one goes, so that no two are one place.
        let is_even = |live: &Live<Text>| live.address().is_multiple_of(128);
        let (gone, kept): (Vec<_>, Vec<_>) = (0..2 * COUNT).map(function).partition(is_even);
        gone.into_iter().for_each(|live| engine.free(live).expect("ours"));
        let withheld = || engine.pool_stats(Kind::Text).bytes_withheld;
        assert_eq!(withheld(), COUNT * 64);
        let before = control.calls();
        // A batch is filled, and then told to processors: later batches are refused after earlier ones are released.
        control.refuse_from(nth);
        engine.maintain();
        let is_done = control.calls() - before <= nth;
        control.refuse_nothing();
        whole += u64::from((1..COUNT * 64).contains(&withheld()));
        engine.audit().expect("audit");
        engine.maintain();
        assert_eq!(withheld(), 0, "call {nth}: nothing is lost");
        engine.audit_unused().expect("traps");
        kept.into_iter().for_each(|live| engine.free(live).expect("ours"));
        if is_done {
            break;
        }
    }
    assert!(whole > 30, "{whole}: most refusals leave some places withheld and some free");
}
