//! Several allocations freed in one step.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};

use execmem::kinds::Text;
use execmem::{Engine, Error, Extent, Hooked, Hooks, Kind, Live};
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

/// A hook of a caller whose code panics after so many frees.
struct Defect(AtomicU64);

impl Hooks<Kind> for Defect {
    fn freed(&self, _: Kind, _: Extent) {
        assert_ne!(self.0.fetch_sub(1, Ordering::Relaxed), 0, "a defect of the caller");
    }
}

#[test]
fn a_caller_that_panics_while_a_group_is_freed_leaves_each_handle_freed_once_or_not_at_all() {
    const COUNT: u64 = 40;
    for panics_after in 0..COUNT {
        let defect = Defect(AtomicU64::new(u64::MAX));
        let engine = Engine::new(TABLE, Hooked { memory: Sim::new(TABLE.machine()), hooks: &defect }).expect("memory");
        let publish = |_| engine.publish(engine.alloc::<Text>(64).expect("room")).expect("memory");
        let mut group: Vec<_> = (0..COUNT).map(publish).collect();
        defect.0.store(panics_after, Ordering::Relaxed);
        let outcome = catch_unwind(AssertUnwindSafe(|| engine.free_group(&mut group)));
        defect.0.store(u64::MAX, Ordering::Relaxed);
        assert!(outcome.is_err(), "each free is told");
        engine.audit().expect("audit");
        assert!(group.iter().all(|live| engine.find(live.address()).is_some()), "what is left is still live");
        let lost = engine.kind_stats(Kind::Text).live - group.len() as u64;
        assert!((1..=8).contains(&lost), "{lost} handles of one batch went with the panic, and with them their memory");
        engine.free_group(&mut group).expect("ours");
        engine.audit().expect("audit");
        assert_eq!(engine.kind_stats(Kind::Text).live, lost);
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
