//! Several allocations freed in one step.

use core::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

use execmem::kinds::Text;
use execmem::sync::{Locking, ThreadLanes};
use execmem::{Error, Kind, Live};
use execmem_arch_x86::{TABLE, X86_FLIP};
use execmem_sim::Sim;
use execmem_tests::rig::Rig;

fn engine() -> Rig {
    Rig::new(TABLE)
}

fn functions(engine: &Rig, count: u64) -> Vec<Live<Text>> {
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
    assert!(
        engine.stats().kinds.values().all(|kind| (kind.live, kind.bytes_requested, kind.bytes_granted) == (0, 0, 0))
    );
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
fn what_cannot_be_retired_is_withheld_and_the_others_are_free() {
    let engine = engine();
    let mut group = functions(&engine, 20);
    let last = group.pop().expect("twenty");
    let kept: Vec<_> = group.iter().map(Live::extent).collect();
    engine.sim.refuse_from(0);
    engine.free_group(&mut group).expect("ours");
    let withheld = || engine.pool_stats(Kind::Text).bytes_withheld;
    assert_eq!(withheld(), kept.iter().map(|extent| extent.len()).sum::<u64>());
    engine.audit().expect("audit");
    engine.sim.refuse_nothing();
    let again = engine.alloc::<Text>(64).expect("room");
    assert!(kept.iter().all(|extent| !extent.overlaps(again.extent())), "nobody gets what traps do not fill");
    engine.free(last).expect("ours");
    assert_eq!(withheld(), 0, "a free nearby tries again");
    engine.audit_unused().expect("audit");
    engine.free(again).expect("ours");
}

std::thread_local! {
    /// Calls of `lane` until one panics.
    static CALLS: Cell<u32> = const { Cell::new(u32::MAX) };
}

/// Locks of a caller whose code panics.
struct Panicking;

impl Locking for Panicking {
    type Spin = <ThreadLanes as Locking>::Spin;
    type Sleep = <ThreadLanes as Locking>::Sleep;

    fn shard_hint() -> usize {
        let left = CALLS.replace(CALLS.get().wrapping_sub(1));
        assert!(left > 0, "a defect of the caller");
        0
    }
}

#[test]
fn a_caller_that_panics_while_a_group_is_freed_leaves_each_handle_freed_once_or_not_at_all() {
    const COUNT: u64 = 40;
    for panics_after in 0..5 {
        let engine = Rig::<Panicking>::with_locks(TABLE, Sim::new(TABLE.machine()));
        let publish = |_| engine.publish(engine.alloc::<Text>(64).expect("room")).expect("memory");
        let mut group: Vec<_> = (0..COUNT).map(publish).collect();
        CALLS.set(panics_after);
        let outcome = catch_unwind(AssertUnwindSafe(|| engine.free_group(&mut group)));
        CALLS.set(u32::MAX);
        assert!(outcome.is_err(), "one lane is asked for in each of the five batches");
        engine.audit().expect("audit");
        assert!(group.iter().all(|live| engine.find(live.address()).is_some()), "what is left is still live");
        let live = |engine: &Rig<Panicking>| engine.kind_stats(Kind::Text).live;
        let freed = COUNT - live(&engine);
        assert_eq!(freed, 8 * u64::from(panics_after), "whole batches were freed");
        engine.free_group(&mut group).expect("ours");
        engine.audit().expect("audit");
        assert_eq!(live(&engine), 8, "the handles of one batch went with the panic, and with them their memory");
    }
}

#[test]
fn inv_09_drafts_stay_drafts_when_a_later_batch_is_refused() {
    for table in [TABLE, X86_FLIP] {
        for nth in 0.. {
            let engine = Rig::new(table);
            let draft = |number: u64| engine.alloc::<Text>(64 + number % 7 * 300).expect("room");
            let drafts: Vec<_> = (0..40).map(draft).collect();
            let before = engine.sim.calls();
            engine.sim.refuse_once(nth);
            let outcome = engine.publish_group(drafts);
            let is_done = engine.sim.calls() - before <= nth;
            engine.sim.refuse_nothing();
            let mut live = outcome.or_else(|mut failed| {
                assert!(matches!(failed.error, Error::Backend { .. }), "call {nth}: {failed}");
                failed.handle.iter_mut().for_each(|draft| engine.write(draft, 0, &[0xc3]).expect("still a draft"));
                engine.publish_group(failed.handle)
            });
            engine.free_group(live.as_mut().expect("memory")).expect("ours");
            engine.audit_unused().expect("traps");
            if is_done {
                assert!(nth >= 40, "each extent takes a call at least");
                break;
            }
        }
    }
}
