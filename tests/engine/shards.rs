//! Where allocations of different lanes go.

use core::cell::Cell;

use execmem::kinds::Text;
use execmem::sync::{Locking, ThreadLanes};
use execmem::{Engine, Handle as _};
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
    type Mutex = <ThreadLanes as Locking>::Mutex;

    fn lane() -> usize {
        LANE.get()
    }
}

#[test]
fn a_long_request_takes_the_hole_of_another_lane_rather_than_cut_a_longer_one() {
    let engine = Engine::<_, Chosen>::with_locks(TABLE, Sim::new(TABLE.machine())).expect("memory");
    let alloc = |lane, len| {
        LANE.set(lane);
        engine.alloc::<Text>(len).expect("room")
    };
    let half = alloc(0, BLOCK / 2);
    let mut other = alloc(1, BLOCK);
    engine.truncate(&mut other, BLOCK - 48 * KIB).expect("a part of it");
    assert!(!half.extent().overlaps(other.extent()) && engine.stats().bytes_mapped() == 2 * BLOCK);
    let is_others = |code: &execmem::Draft<Text>| u128::from(code.extent().start()) == other.extent().end();
    let short = alloc(0, 8 * KIB);
    assert!(!is_others(&short), "short requests stay on their lane");
    let long = alloc(0, 46 * KIB);
    assert!(is_others(&long), "a tight hole is there");
    let again = alloc(0, 46 * KIB);
    assert_eq!(engine.stats().bytes_mapped(), 2 * BLOCK, "the own one serves what no other does better");
    for code in [half, other, short, long, again] {
        engine.free(code).expect("ours");
    }
    engine.audit().expect("audit");
}
