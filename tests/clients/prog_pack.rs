//! The policy of packs: where it puts things, what it refuses, and how the engine compares with it.

use execmem::kinds::Bpf;
use execmem_clients::Error;
use execmem_clients::prog_pack::{PACK_BYTES, ProgPacks};
use execmem_sim::Random;
use execmem_tests::rig::Rig;

use super::support::{check_empty, engine, refuse_every_call};

#[test]
fn chunks_are_taken_first_fit_from_the_first_pack_that_has_them() {
    let engine = engine();
    let packs = ProgPacks::new(&engine, u64::MAX);
    let ids: Vec<_> = [100, 64, 65, 1].map(|len| packs.alloc(len).expect("room")).into();
    let address = |id| packs.address(id).expect("live");
    let start = address(ids[0]);
    assert_eq!(ids.iter().map(|id| address(*id) - start).collect::<Vec<_>>(), [0, 128, 192, 320]);
    packs.free(ids[1]).expect("live");
    let (small, large) = (packs.alloc(60).expect("room"), packs.alloc(129).expect("room"));
    assert_eq!((address(small) - start, address(large) - start), (128, 384));
    let whole = packs.alloc(PACK_BYTES).expect("a pack of its own");
    assert_eq!(packs.packs(), 2);
    packs.write(small, 0, &[0x90; 64]).expect("its chunk");
    assert_eq!(packs.write(small, 1, &[0x90; 64]), Err(Error::CodeTooLong { len: 65, room: 64 }));
    for id in [ids[0], ids[2], ids[3], small, large, whole] {
        packs.free(id).expect("live");
        assert!(matches!(packs.free(id), Err(Error::StaleId { .. })));
    }
    assert_eq!((packs.packs(), packs.usage().bytes), (0, 0));
    check_empty(&engine);
}

#[test]
fn foreign_names_limits_and_sizes_beyond_a_pack_are_refused() {
    let engine = engine();
    let (packs, others) = (ProgPacks::new(&engine, 128), ProgPacks::new(&engine, u64::MAX));
    let id = packs.alloc(100).expect("room");
    assert!(matches!(others.free(id), Err(Error::ForeignId { .. })));
    assert!(matches!(packs.alloc(1), Err(Error::OverLimit { .. })));
    assert!(matches!(others.alloc(PACK_BYTES + 1), Err(Error::CodeTooLong { .. })));
    assert!(matches!(others.alloc(0), Err(Error::CodeTooLong { .. })));
    packs.free(id).expect("live");
    check_empty(&engine);
}

#[test]
fn inv_09_a_refusal_at_any_step_of_a_pack_leaves_nothing() {
    refuse_every_call(|engine| {
        let packs = ProgPacks::new(engine, u64::MAX);
        let Ok(id) = packs.alloc(100) else { return false };
        let written = packs.write(id, 0, &[0x90; 100]);
        // One call is refused, so the second attempt works.
        let freed = packs.free(id);
        if freed.is_err() && packs.free(id).is_err() {
            // Where published memory cannot be patched at all, the pack stays; it goes with its engine.
            return engine.table().can_poke(execmem::Kind::Bpf);
        }
        written.is_ok() && freed.is_ok()
    });
}

/// The load of a fleet's BPF programs: half below 500 bytes, three quarters below 2 KiB, the rest in octaves up to 64 KiB.
struct Fleet(Random);

impl Fleet {
    fn range(&mut self, low: u64, high: u64) -> u64 {
        low + self.0.below(high - low)
    }

    fn len(&mut self) -> u64 {
        match self.range(0, 100) {
            0..50 => self.range(64, 500),
            50..75 => self.range(500, 2048),
            _ => {
                let octave = match self.range(0, 31) {
                    0..16 => 0,
                    16..24 => 1,
                    24..28 => 2,
                    28..30 => 3,
                    _ => 4,
                };
                self.range(2048 << octave, 4096 << octave)
            }
        }
    }
}

const LIVE: usize = 10_000;
/// All of them in a release build; fewer where they would take minutes.
const STEPS: u64 = if cfg!(debug_assertions) { 20_000 } else { 200_000 };

/// Runs the load: `LIVE` programs, then each step frees one and allocates another. Returns the most of what `count` says.
fn churn<H>(alloc: impl Fn(u64) -> H, free: impl Fn(H), count: impl Fn() -> usize) -> usize {
    let mut fleet = Fleet(Random::new(0x9e37_79b9_7f4a_7c15));
    let mut live: Vec<Option<H>> = (0..LIVE).map(|_| Some(alloc(fleet.len()))).collect();
    let mut most = count();
    for step in 0..STEPS {
        let slot = usize::try_from(fleet.range(0, LIVE as u64)).expect("small");
        live[slot].take().into_iter().for_each(&free);
        live[slot] = Some(alloc(fleet.len()));
        if step.is_multiple_of(1000) {
            most = most.max(count());
        }
    }
    most = most.max(count());
    live.into_iter().flatten().for_each(free);
    most
}

#[test]
fn the_engine_needs_no_more_large_blocks_than_packs_for_a_fleets_programs() {
    let engine = engine();
    let blocks = |engine: &Rig| {
        assert!(engine.sim.leaves().keys().all(|page| page.bytes() == PACK_BYTES));
        usize::try_from(engine.sim.leaves().values().sum::<u64>()).expect("small")
    };
    let alloc = |len| engine.publish(engine.alloc::<Bpf>(len).expect("room")).expect("memory");
    let ours = churn(alloc, |live| engine.free(live).expect("ours"), || blocks(&engine));
    check_empty(&engine);
    let packs = ProgPacks::new(&engine, u64::MAX);
    let theirs = churn(|len| packs.alloc(len).expect("room"), |id| packs.free(id).expect("live"), || packs.packs());
    println!("2M blocks at the fullest moment: {ours} of the engine, {theirs} packs");
    assert!(ours <= theirs, "{ours} blocks, {theirs} packs");
    check_empty(&engine);
}
