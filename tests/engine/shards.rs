//! Where allocations of different lanes go.

use core::cell::Cell;
use execmem_tests::rig::Rig;
use std::collections::VecDeque;

use execmem::kinds::Text;
use execmem::sync::{Locking, ThreadLanes};
use execmem::{BackendError, Draft, Error};
use execmem_arch_x86::TABLE;
use execmem_sim::Sim;

const BLOCK: u64 = 2 << 20;
const KIB: u64 = 1 << 10;

std::thread_local! {
    static LANE: Cell<usize> = const { Cell::new(0) };
}

/// Lanes that the test chooses.
struct Chosen;

impl Locking for Chosen {
    type Spin = <ThreadLanes as Locking>::Spin;
    type Sleep = <ThreadLanes as Locking>::Sleep;

    fn shard_hint() -> usize {
        LANE.get()
    }
}

/// Lanes of two threads that begin on one; the thread that meets the other there moves.
struct Moving;

impl Locking for Moving {
    type Spin = <ThreadLanes as Locking>::Spin;
    type Sleep = <ThreadLanes as Locking>::Sleep;

    fn shard_hint() -> usize {
        LANE.get()
    }

    fn contended(other: usize) {
        if other != LANE.get() {
            LANE.set(LANE.get() | 1);
        }
    }
}

type Chose = Rig<Chosen>;

/// An engine of x86-64 over so many bytes of memory.
fn engine(bytes: u64) -> Chose {
    Rig::with_locks(TABLE, Sim::with_memory(TABLE.machine(), bytes))
}

fn try_alloc(engine: &Chose, lane: usize, len: u64) -> Result<Draft<Text>, Error> {
    LANE.set(lane);
    engine.alloc::<Text>(len)
}

fn alloc(engine: &Chose, lane: usize, len: u64) -> Draft<Text> {
    try_alloc(engine, lane, len).expect("room")
}

/// Two lanes with a block each: the first has half of its own, the second has so many bytes free at the end of its own.
fn two_blocks(engine: &Chose, free: u64) -> [Draft<Text>; 2] {
    let half = alloc(engine, 0, BLOCK / 2);
    let mut other = alloc(engine, 1, BLOCK);
    engine.truncate(&mut other, BLOCK - free).expect("a part of it");
    assert!(!half.extent().overlaps(other.extent()) && engine.stats().bytes_mapped() == 2 * BLOCK);
    [half, other]
}

fn is_behind(code: &Draft<Text>, other: &Draft<Text>) -> bool {
    u128::from(code.extent().start()) == other.extent().end()
}

fn free_all(engine: &Chose, codes: impl IntoIterator<Item = Draft<Text>>) {
    engine.free_group(&mut codes.into_iter().collect()).expect("of several shards, but ours");
    engine.shrink();
    assert_eq!(engine.stats().bytes_mapped(), 0);
    engine.audit().expect("audit");
}

#[test]
fn a_long_request_takes_the_hole_of_another_lane_rather_than_cut_a_longer_one() {
    let engine = engine(4 * BLOCK);
    let [half, other] = two_blocks(&engine, 48 * KIB);
    let short = alloc(&engine, 0, 8 * KIB);
    assert!(!is_behind(&short, &other), "short requests stay on their lane");
    let looser = alloc(&engine, 0, 40 * KIB);
    assert!(!is_behind(&looser, &other), "it would be cut badly there as well");
    let long = alloc(&engine, 0, 46 * KIB);
    assert!(is_behind(&long, &other), "a tight hole is there");
    let again = alloc(&engine, 0, 46 * KIB);
    assert_eq!(engine.stats().bytes_mapped(), 2 * BLOCK, "the own one serves what no other does better");
    free_all(&engine, [half, other, short, looser, long, again]);
}

#[test]
fn lanes_that_fill_blocks_fill_their_own_and_borrow_what_another_has_plenty_of() {
    let engine = engine(8 * BLOCK);
    let [half, other] = two_blocks(&engine, 16 * KIB);
    let rest = alloc(&engine, 1, 16 * KIB);
    let lent = alloc(&engine, 1, 16 * KIB);
    assert_eq!(engine.stats().bytes_mapped(), 2 * BLOCK, "the first lane has as much free as is live there");
    let next = alloc(&engine, 1, 16 * KIB);
    assert_eq!(engine.stats().bytes_mapped(), 3 * BLOCK, "now it has less, and keeps it");
    let homeless = alloc(&engine, 2, 16 * KIB);
    assert_eq!(engine.stats().bytes_mapped(), 3 * BLOCK, "who has no block maps none for a few bytes");
    free_all(&engine, [half, other, rest, lent, next, homeless]);
}

#[test]
fn where_nothing_can_be_mapped_every_hole_serves_everybody() {
    let engine = engine(2 * BLOCK);
    let [half, other] = two_blocks(&engine, 16 * KIB);
    let rest = alloc(&engine, 1, 16 * KIB);
    let mut codes = vec![half, other, rest];
    let before = engine.sim.calls();
    for _ in 0..64 {
        codes.push(alloc(&engine, 1, 16 * KIB));
    }
    assert_eq!(engine.sim.calls() - before, 1, "a block is asked for once while there are holes");
    let refused = try_alloc(&engine, 1, 16 * KIB).expect_err("both blocks are full");
    assert!(matches!(refused, Error::Backend { source: BackendError::OutOfMemory { .. }, .. }), "{refused}");
    free_all(&engine, codes);
}

#[test]
fn holes_of_other_lanes_are_taken_before_small_pages_are_mapped() {
    let engine = engine(8 * BLOCK);
    engine.sim.limit_large_pages(2);
    let [half, other] = two_blocks(&engine, 16 * KIB);
    let rest = alloc(&engine, 1, 16 * KIB);
    let lent = [(); 64].map(|()| alloc(&engine, 1, 16 * KIB));
    assert_eq!(engine.stats().bytes_mapped(), 2 * BLOCK);
    let last = alloc(&engine, 1, 16 * KIB);
    assert_eq!(engine.pool_stats(execmem::Kind::Text).counters.fallbacks, 1);
    free_all(&engine, [half, other, rest, last].into_iter().chain(lent));
}

#[test]
fn lanes_fill_their_own_blocks_again_once_large_ones_can_be_had() {
    let engine = engine(8 * BLOCK);
    engine.sim.limit_large_pages(2);
    let [half, other] = two_blocks(&engine, 16 * KIB);
    let mut codes = vec![half, other, alloc(&engine, 1, 16 * KIB), alloc(&engine, 1, 16 * KIB)];
    codes.push(alloc(&engine, 1, 16 * KIB));
    engine.sim.refuse_nothing();
    codes.push(alloc(&engine, 1, 16 * KIB));
    assert_eq!(engine.stats().bytes_mapped(), 2 * BLOCK, "nobody knows before a block is needed");
    codes.push(alloc(&engine, 1, BLOCK));
    codes.push(alloc(&engine, 1, 16 * KIB));
    assert_eq!(engine.stats().bytes_mapped(), 4 * BLOCK, "the first lane keeps its half");
    free_all(&engine, codes);
}

/// Allocates and frees for a while from a lane. Returns whether the thread stayed on it.
fn stays(engine: &Rig<Moving>, lane: usize) -> bool {
    LANE.set(lane);
    let mut codes = VecDeque::new();
    for _ in 0..20_000 {
        codes.push_back(engine.alloc::<Text>(64).expect("room"));
        if codes.len() > 100 {
            codes.pop_front().into_iter().for_each(|code| engine.free(code).expect("ours"));
        }
    }
    codes.into_iter().for_each(|code| engine.free(code).expect("ours"));
    LANE.get() == lane
}

#[test]
fn of_two_threads_that_meet_one_stays() {
    // They do not always meet twice, which is when the second used to leave as well.
    for _ in 0..16 {
        let engine = &Rig::<Moving>::with_locks(TABLE, Sim::new(TABLE.machine()));
        let stay = std::thread::scope(|scope| {
            let threads = [8, 16].map(|lane| scope.spawn(move || stays(engine, lane)));
            threads.map(|thread| thread.join().expect("no panic"))
        });
        assert!(stay.contains(&true), "both left");
        engine.audit().expect("audit");
    }
}
