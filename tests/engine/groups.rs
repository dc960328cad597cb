//! Several allocations freed in one step.

use execmem::kinds::Text;
use execmem::{Engine, Error, Handle as _, Kind, Live};
use execmem_arch_x86::TABLE;
use execmem_sim::Sim;

fn engine() -> Engine<Sim> {
    Engine::new(TABLE, Sim::new(TABLE.machine())).expect("memory")
}

fn functions(engine: &Engine<Sim>, count: u64) -> Vec<Live<Text>> {
    let function = |number: u64| {
        let draft = engine.alloc::<Text>(64 + number % 7 * 300).expect("room");
        engine.publish(draft).expect("memory")
    };
    (0..count).map(function).collect()
}

#[test]
fn all_are_free_and_their_blocks_go_back() {
    let engine = engine();
    let mut drafts: Vec<_> = (0..400)
        .map(|number| engine.alloc_kind(Kind::ALL[number % Kind::COUNT], 100 + 5_000 * (number as u64 % 5)))
        .collect::<Result<_, _>>()
        .expect("room");
    engine.free_group(&mut drafts).expect("ours");
    assert!(drafts.is_empty());
    engine.audit().expect("audit");
    engine.audit_unused().expect("trap and zero");
    assert!(engine.stats().kinds.iter().all(|kind| (kind.live, kind.bytes_requested, kind.bytes_granted) == (0, 0, 0)));
    engine.shrink();
    assert_eq!(engine.stats().bytes_mapped(), 0);
    engine.free_group(&mut drafts).expect("nothing is always free");
}

#[test]
fn handles_of_other_engines_stay_and_all_others_are_free() {
    let (engine, other) = (engine(), engine());
    let (mut ours, theirs) = (functions(&engine, 40), functions(&other, 3));
    let mut addresses: Vec<_> = theirs.iter().map(Live::address).collect();
    for (place, foreign) in [0, 20, 42].into_iter().zip(theirs) {
        ours.insert(place, foreign);
    }
    let refused = engine.free_group(&mut ours).expect_err("three are foreign");
    assert_eq!(refused, Error::ForeignHandle { address: ours[0].address() });
    let mut left: Vec<_> = ours.iter().map(Live::address).collect();
    addresses.sort_unstable();
    left.sort_unstable();
    assert_eq!(left, addresses);
    engine.audit().expect("audit");
    engine.shrink();
    assert_eq!(engine.stats().bytes_mapped(), 0, "all of its own are free");
    other.free_group(&mut ours).expect("theirs");
    other.shrink();
    assert_eq!(other.stats().bytes_mapped(), 0);
}

#[test]
fn what_cannot_be_retired_is_quarantined_and_the_others_are_free() {
    let engine = engine();
    let mut group = functions(&engine, 20);
    let kept = group[5].extent();
    // A fill and a synchronisation each.
    engine.backend().refuse_once(10);
    engine.free_group(&mut group).expect("ours");
    assert_eq!(engine.stats().pools[0].counters.quarantined_bytes, kept.len());
    engine.audit().expect("audit");
    let again = functions(&engine, 40);
    assert!(again.iter().all(|function| !function.extent().overlaps(kept)));
}
