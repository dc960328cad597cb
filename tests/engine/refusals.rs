//! A backend that refuses, at every call it gets: nothing is lost, and an error means nothing happened.

use execmem::kinds::Text;
use execmem::{Draft, Error, Kind};
use execmem_arch_x86::{TABLE, TABLES};
use execmem_tests::ops::Op;
use execmem_tests::rig::Rig;
use execmem_tests::world::World;

/// A life of everything: each kind allocated, written, published, patched, sealed, cut and freed.
fn script() -> Vec<Op> {
    let mut ops = Vec::new();
    for (pick, kind) in (0..).zip(0..u8::try_from(Kind::COUNT).expect("few")) {
        ops.push(Op::Alloc { kind, len: 5000 });
        ops.push(Op::Write { pick, offset: 3, byte: 9 });
        ops.push(Op::Advance { pick });
        ops.push(Op::Write { pick, offset: 4090, byte: 7 });
        ops.push(Op::Advance { pick });
    }
    ops.push(Op::Group { lens: [3 << 20, 100, 9000, 64, 300, 0, 5] });
    ops.push(Op::Split { pick: 0, len: 4096 });
    ops.push(Op::Truncate { pick: 3, len: 4096 });
    ops.push(Op::FreeGroup { pick: 0, count: 8 });
    ops.extend((0..20).map(|pick| Op::Free { pick: pick * 7 }));
    ops.push(Op::Shrink);
    ops
}

/// What can be seen of a world but for what only grows.
fn picture(world: &World) -> String {
    let stats = world.engine.stats();
    let kinds: Vec<_> =
        stats.kinds.values().map(|kind| (kind.live, kind.bytes_requested, kind.bytes_granted)).collect();
    let addresses: Vec<_> = world.held.iter().map(|held| (held.address(), held.bytes.len())).collect();
    format!("{kinds:?} {addresses:x?}")
}

/// Runs the script with the backend call number `nth` refused.
fn run_refusing(table: usize, nth: u64, is_lasting: bool) -> Result<bool, String> {
    let mut world = World::new(TABLES[table].table);
    let sim_calls = |world: &World| world.engine.sim.calls();
    if is_lasting {
        world.engine.sim.refuse_from(nth);
    } else {
        world.engine.sim.refuse_once(nth);
    }
    for op in script() {
        let before = picture(&world);
        let is_whole = !matches!(op, Op::Free { .. } | Op::FreeGroup { .. } | Op::Truncate { .. } | Op::Shrink);
        match op.run(&mut world) {
            Err(Error::Backend { .. }) if is_whole && picture(&world) != before => {
                return Err(format!("{op:?} failed and left {} instead of {before}", picture(&world)));
            }
            Ok(()) | Err(Error::Backend { .. } | Error::BadCut { .. }) => {}
            Err(error) => return Err(format!("{op:?}: {error}")),
        }
        if is_lasting {
            // The checks below call the backend as well.
            world.engine.audit().map_err(|broken| format!("{op:?}: {broken}"))?;
        } else if sim_calls(&world) > nth {
            world.engine.sim.refuse_nothing();
            world.check().map_err(|why| format!("{op:?}: {why}"))?;
        }
    }
    let all_run = sim_calls(&world) <= nth;
    world.engine.sim.refuse_nothing();
    while !world.held.is_empty() {
        world.free(0).map_err(|error| error.to_string())?;
    }
    world.check()?;
    world.check_unused()?;
    world.engine.shrink();
    world.check()?;
    let left = world.engine.stats();
    let withheld: u64 = left.pools().map(|(_, pool)| pool.bytes_withheld).sum();
    if (left.bytes_mapped(), withheld) != (0, 0) {
        return Err(format!("{:#x} bytes stay mapped, {withheld:#x} withheld", left.bytes_mapped()));
    }
    Ok(all_run)
}

/// Refuses each call in turn until a run has fewer.
fn refuse_each(is_lasting: bool) {
    for (index, named) in TABLES.iter().enumerate() {
        let mut nth = 0;
        loop {
            match run_refusing(index, nth, is_lasting) {
                Ok(true) => break,
                Ok(false) => nth += 1,
                Err(why) => panic!("table {}, call {nth} refused: {why}", named.name),
            }
        }
        assert!(nth > 20, "the script calls the backend more often than that");
    }
}

#[test]
fn inv_09_one_refused_call_loses_nothing() {
    refuse_each(false);
}

#[test]
fn inv_09_a_backend_that_refuses_for_good_loses_nothing() {
    refuse_each(true);
}

/// Where every second place is withheld and every other one serves requests, there are more holes than records for them: a
/// withheld hole takes in those that it touches, here a whole block.
#[test]
fn inv_01_a_block_that_a_withheld_hole_takes_in_is_not_empty() {
    let engine = Rig::new(TABLE);
    let block = engine.alloc::<Text>(2 << 20).expect("room");
    let mut places: Vec<_> = (0..1_500).map(|_| engine.alloc::<Text>(64).expect("room")).collect();
    assert_eq!(block.extent().end(), places[0].address().into(), "in the block behind it");
    engine.free(block).expect("ours");
    assert_eq!(engine.stats().bytes_mapped(), 4 << 20, "one empty block is kept");
    let last = places.split_off(1_400);
    // The first two calls destroy the content. Others try again the hole that was withheld last.
    let free = |draft: Draft<Text>, is_destroyed: bool| {
        engine.sim.refuse_from(if is_destroyed { 2 } else { 0 });
        engine.free(draft).expect("ours");
        engine.sim.refuse_nothing();
        engine.audit().expect("audit");
    };
    let is_odd = |draft: &Draft<Text>| !draft.address().is_multiple_of(128);
    // The place behind the block comes last. When others need records, it is the hole that was withheld last.
    for draft in places.into_iter().rev() {
        let is_destroyed = is_odd(&draft);
        free(draft, is_destroyed);
    }
    let (odd, even): (Vec<_>, Vec<_>) = last.into_iter().partition(is_odd);
    odd.into_iter().for_each(|draft| free(draft, true));
    let withheld = engine.pool_stats(Kind::Text).bytes_withheld;
    assert!(withheld > 2 << 20, "{withheld:#x}: the block is taken in");
    even.into_iter().for_each(|draft| engine.free(draft).expect("ours"));
    engine.maintain();
    engine.audit_unused().expect("traps");
    engine.shrink();
    assert_eq!(engine.stats().bytes_mapped(), 0);
}
