//! Handles that free their memory, and handles that are dropped without.

use std::cell::Cell;
use std::sync::Arc;

use execmem::kinds::{RoAfterInit, Text};
use execmem::sync::ThreadLanes;
use execmem::{Engine, EngineRef, Error, Kind, Owner};
use execmem_arch_x86::TABLE;
use execmem_clients::bpf::{Bpf, Options, ProgramRequest, Trust};
use execmem_clients::module::Loader;
use execmem_clients::{Credit, Error as ClientError};
use execmem_sim::Sim;
use execmem_tests::rig::Rig;

use crate::module::objects::complete;

#[test]
fn what_is_dropped_without_being_freed_is_counted_by_kind() {
    let engine = Rig::new(TABLE);
    drop(engine.alloc::<Text>(100).expect("room"));
    drop(engine.alloc_kind(Kind::Data, 5000).expect("room"));
    drop(engine.publish(engine.alloc::<Text>(64).expect("room")).expect("memory"));
    let of = |kind| {
        let stats = engine.kind_stats(kind);
        (stats.live, stats.dropped, stats.dropped_bytes)
    };
    assert_eq!(of(Kind::Text), (2, 2, 128 + 64));
    assert_eq!(of(Kind::Data).1, 1);
    engine.free(engine.alloc::<Text>(64).expect("room")).expect("ours");
    assert_eq!(of(Kind::Text).1, 2, "what is freed is not dropped");
    let other = Rig::new(TABLE);
    assert_eq!(other.kind_stats(Kind::Text).dropped, 0, "each engine counts its own");
    engine.audit().expect("audit");
}

#[test]
fn handles_that_outlive_their_engine_count_for_nobody() {
    let draft = {
        let engine = Rig::new(TABLE);
        engine.alloc::<Text>(64).expect("room")
    };
    let next = Rig::new(TABLE);
    drop(draft);
    assert_eq!(next.kind_stats(Kind::Text).dropped, 0);
}

#[test]
fn owned_handles_free_their_memory_in_every_stage() {
    let engine = Arc::new(Engine::new(TABLE, Sim::new(TABLE.machine())).expect("memory"));
    let live = |kind| engine.kind_stats(kind).live;
    drop(engine.alloc::<Text>(64).expect("room").owned_by(&engine).expect("ours"));
    assert_eq!(live(Kind::Text), 0);
    let mut data = engine.alloc::<RoAfterInit>(64).expect("room").owned_by(Arc::clone(&engine)).expect("ours");
    data.write(0, &[1]).expect("a draft");
    let mut data = data.publish().expect("memory");
    data.write(1, &[2]).expect("before it is sealed");
    let data = data.seal().expect("memory");
    let mut bytes = [0; 2];
    engine.read(&data, 0, &mut bytes).expect("ours");
    assert_eq!((bytes, live(Kind::RoAfterInit)), ([1, 2], 1));
    drop(data);
    assert_eq!(live(Kind::RoAfterInit), 0);
    let plain = engine.alloc::<Text>(64).expect("room").owned_by(&*engine).expect("ours").into_handle();
    assert_eq!(live(Kind::Text), 1, "nothing frees a plain one");
    engine.free(plain).expect("ours");
    assert_eq!(engine.kind_stats(Kind::Text).dropped, 0);
    engine.audit_unused().expect("all of it is destroyed");
}

#[test]
fn an_owned_handle_knows_its_engine() {
    let [one, other] = [(); 2].map(|()| Rig::new(TABLE));
    let draft = one.alloc::<Text>(64).expect("room");
    let failed = draft.owned_by(&other).expect_err("it is the other's");
    assert!(matches!(failed.error, Error::ForeignHandle { .. }));
    let owned = failed.handle.owned_by(&one).expect("its own");
    drop(owned);
    assert_eq!((one.kind_stats(Kind::Text).live, one.kind_stats(Kind::Text).dropped), (0, 0));
}

#[test]
fn what_cannot_be_destroyed_when_it_is_dropped_is_withheld_and_tried_again() {
    let engine = Rig::new(TABLE);
    let owned = engine.alloc::<Text>(64).expect("room").owned_by(&engine).expect("ours").publish().expect("memory");
    engine.sim.refuse_from(0);
    drop(owned);
    assert_eq!(engine.pool_stats(Kind::Text).bytes_withheld, 64);
    engine.sim.refuse_nothing();
    engine.maintain();
    assert_eq!(engine.pool_stats(Kind::Text).bytes_withheld, 0);
    engine.audit_unused().expect("traps");
}

/// A way that leads to one engine up to a call, and from that on to the other.
#[derive(Debug, Clone, Copy)]
struct Fickle<'e> {
    engines: [&'e Rig; 2],
    calls: &'e Cell<u64>,
    turns_at: u64,
}

impl EngineRef for Fickle<'_> {
    type Memory = Sim;
    type Set = Kind;
    type Locks = ThreadLanes;

    fn engine(&self) -> &Engine<Sim, Kind, ThreadLanes> {
        let call = self.calls.replace(self.calls.get() + 1);
        &self.engines[usize::from(call >= self.turns_at)].engine
    }
}

/// Runs a life of handles once for each call from which on the way leads elsewhere: errors say that handles are another
/// engine's, and what cannot be freed counts as dropped.
fn with_fickle_ways(life: impl Fn(Fickle<'_>) -> Result<(), ClientError>) {
    for turns_at in 0.. {
        let (engines, calls) = ([(); 2].map(|()| Rig::new(TABLE)), Cell::new(0));
        let outcome = life(Fickle { engines: [&engines[0], &engines[1]], calls: &calls, turns_at });
        if let Err(error) = outcome {
            assert!(matches!(error, ClientError::Engine(Error::ForeignHandle { .. })), "call {turns_at}: {error}");
        }
        for (engine, kind) in engines.iter().flat_map(|engine| Kind::ALL.map(|kind| (engine, kind))) {
            let stats = engine.kind_stats(kind);
            assert_eq!(stats.live, stats.dropped, "call {turns_at}: {kind}");
        }
        engines.iter().for_each(|engine| engine.audit().expect("audit"));
        if calls.get() <= turns_at {
            assert_eq!(outcome, Ok(()));
            return;
        }
    }
}

#[test]
fn a_way_that_leads_to_another_engine_than_before_makes_errors_and_loses_nothing() {
    with_fickle_ways(|way| {
        let failed = |error: Error| ClientError::Engine(error);
        let draft = way.engine().alloc::<RoAfterInit>(64)?.owned_by(way).map_err(|refused| failed(refused.error))?;
        let live = draft.publish().map_err(|refused| failed(refused.error))?;
        live.seal().map(drop).map_err(|refused| failed(refused.error))
    });
    let object = complete();
    with_fickle_ways(|way| {
        Loader::new(way)?.load(&object, &|_: &str| Some(0xffff_ffff_8123_4560))?.finish_or_unload()?.unload();
        Ok(())
    });
    with_fickle_ways(|way| {
        let bpf = Bpf::new(way, Options { limit: u64::MAX, seed: 1, flush_predictors: || () });
        let request = ProgramRequest { len: 100, align: 4, trust: Trust::Trusted, credit: Credit::Limited };
        let program = bpf.alloc(&request)?.finalize()?;
        bpf.header(program)?;
        bpf.free(program)
    });
}

#[test]
fn every_owner_there_is_keeps_its_own_while_threads_allocate_and_free() {
    const THREADS: u16 = 4;
    let engine = Rig::new(TABLE);
    let kinds = [Kind::Text, Kind::Bpf, Kind::Ftrace, Kind::Kprobe];
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (engine, kind) = (&engine, kinds[usize::from(thread)]);
            scope.spawn(move || {
                let owners = (thread..=u16::MAX).step_by(THREADS.into());
                let mut held: Vec<_> = owners.map(|owner| (owner, engine.alloc_for(Owner(owner), kind, 64))).collect();
                // Every second goes, and the others stay what they were.
                for round in [1, 0] {
                    for (owner, draft) in held.extract_if(.., |(owner, _)| *owner / THREADS % 2 == round) {
                        let draft = draft.expect("room");
                        let found = engine.find(draft.address() + 63).expect("live");
                        assert_eq!((found.owner, found.kind), (Owner(owner), kind));
                        engine.free(draft).expect("ours");
                    }
                }
            });
        }
    });
    engine.audit().expect("audit");
    engine.shrink();
    assert_eq!(engine.stats().bytes_mapped(), 0);
}
