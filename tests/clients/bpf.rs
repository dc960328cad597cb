//! Programs: header, hole, twin, limits, predictors, and that any refusal leaves nothing.

use execmem_tests::rig::Rig;
use std::cell::Cell;
use std::collections::BTreeSet;

use execmem_clients::bpf::{Bpf, Header, Options, Program, ProgramRequest, Trampoline, Trust};
use execmem_clients::patch::NoBreakpoints;
use execmem_clients::{Credit, Error, Id};

use super::support::{check_empty, engine, granted, refuse_every_call};

const REQUEST: ProgramRequest = ProgramRequest { len: 100, align: 4, trust: Trust::Trusted, credit: Credit::Limited };

fn options(limit: u64) -> Options<fn()> {
    Options { limit, seed: 1, flush_predictors: || () }
}

type Client<'e, F> = Bpf<&'e Rig, F>;

fn program<F: Fn()>(bpf: &Client<'_, F>, request: &ProgramRequest, byte: u8) -> Result<Id<Program>, Error> {
    let mut binary = bpf.alloc(request)?;
    binary.image_mut().fill(byte);
    binary.finalize()
}

#[test]
fn programs_have_a_read_only_header_and_traps_around_the_image() {
    let engine = engine();
    let bpf = Bpf::new(&engine, options(u64::MAX));
    let mut binary = bpf.alloc(&REQUEST).expect("room");
    let (extent, address) = (binary.extent(), binary.address());
    assert!(extent.start().is_multiple_of(64) && extent.len() == 128, "100 + 24 in units of 64");
    assert!(address.is_multiple_of(4) && address >= extent.start() + 8 && binary.image_mut().len() == 100);
    binary.image_mut().fill(0x90);
    let mut bytes = [0; 128];
    engine.sim.fetch(extent.start(), &mut bytes).expect("text");
    assert_eq!(bytes, [0xcc; 128], "the twin is not executed");
    let id = binary.finalize().expect("memory");
    engine.sim.fetch(extent.start(), &mut bytes).expect("text");
    let start = usize::try_from(address - extent.start()).expect("small");
    assert_eq!(bytes[..8], 128_u64.to_le_bytes());
    assert!(bytes[8..start].iter().chain(&bytes[start + 100..]).all(|byte| *byte == 0xcc));
    assert!(bytes[start..start + 100].iter().all(|byte| *byte == 0x90));
    assert!(engine.sim.store(extent.start(), &[1]).is_err(), "the header is read-only");
    assert_eq!((bpf.header(id), bpf.image(id).map(|image| image.start())), (Ok(Header { len: 128 }), Ok(address)));
    assert_eq!(bpf.find(address + 99), Some(id));
    bpf.free(id).expect("live");
    check_empty(&engine);
}

#[test]
fn holes_are_of_every_length_there_is_room_for() {
    let engine = engine();
    let bpf = Bpf::new(&engine, options(u64::MAX));
    let offset = |_| {
        let binary = bpf.alloc(&REQUEST).expect("room");
        binary.address() - binary.extent().start()
    };
    let offsets: BTreeSet<u64> = (0..1000).map(offset).collect();
    assert_eq!(offsets, (8..=28).step_by(4).collect());
    for (len, align) in (0..200).flat_map(|len| [0, 1, 2, 3, 8, 64, 1000].map(|align| (len, align))) {
        let mut binary = bpf.alloc(&ProgramRequest { len, align, ..REQUEST }).expect("room");
        assert!(binary.address().is_multiple_of(align.clamp(1, 64).next_power_of_two()));
        assert!(binary.address() >= binary.extent().start() + 8 && binary.image_mut().len() as u64 == len);
        assert!(binary.address() + len <= binary.extent().last() + 1);
    }
    assert_eq!(bpf.usage().bytes, 0);
    check_empty(&engine);
}

#[test]
fn both_ways_to_free_uncharge_and_limits_hold_for_those_they_apply_to() {
    let engine = engine();
    let bpf = Bpf::new(&engine, options(256));
    let ids = [program(&bpf, &REQUEST, 1).expect("half"), program(&bpf, &REQUEST, 2).expect("all")];
    let refused = Error::OverLimit { wanted: 128, held: 256, limit: 256 };
    assert_eq!(program(&bpf, &REQUEST, 3), Err(refused));
    let unlimited = ProgramRequest { credit: Credit::Unlimited, ..REQUEST };
    let more = program(&bpf, &unlimited, 3).expect("capable");
    bpf.free(ids[0]).expect("live");
    assert!(matches!(program(&bpf, &REQUEST, 3), Err(Error::OverLimit { held: 256, .. })));
    bpf.free(more).expect("live");
    drop(bpf.alloc(&REQUEST).expect("the first half is free"));
    assert_eq!((bpf.usage().bytes, bpf.usage().live, bpf.usage().refused), (128, 1, 2));
    bpf.free(ids[1]).expect("live");
    check_empty(&engine);
}

#[test]
fn stale_and_foreign_names_are_errors_and_change_nothing() {
    let engine = engine();
    let (bpf, others) = (Bpf::new(&engine, options(u64::MAX)), Bpf::new(&engine, options(u64::MAX)));
    let id = program(&bpf, &REQUEST, 1).expect("room");
    assert!(matches!(others.free(id), Err(Error::ForeignId { .. })));
    bpf.free(id).expect("live");
    assert!(matches!(bpf.free(id), Err(Error::StaleId { .. })));
    assert!(matches!(bpf.image(id), Err(Error::StaleId { .. })));
    let mut dispatcher = bpf.dispatcher(NoBreakpoints).expect("rows");
    assert!(matches!(others.update(&mut dispatcher, &[], || ()), Err(Error::ForeignId { .. })));
    assert!(matches!(others.close(&dispatcher), Err(Error::ForeignId { .. })));
    bpf.close(&dispatcher).expect("open");
    assert!(matches!(bpf.close(&dispatcher), Err(Error::StaleId { .. })));
    assert_eq!(granted(&engine), 0);
    check_empty(&engine);
}

#[test]
fn untrusted_programs_stand_where_none_stood_since_the_last_flush() {
    let engine = engine();
    let flushes = Cell::new(0);
    let bpf =
        Bpf::new(&engine, Options { limit: u64::MAX, seed: 1, flush_predictors: || flushes.set(flushes.get() + 1) });
    let untrusted = ProgramRequest { trust: Trust::Untrusted, ..REQUEST };
    let ids: Vec<_> = (0..100).map(|_| program(&bpf, &REQUEST, 1).expect("room")).collect();
    let places: Vec<_> = ids.iter().map(|id| bpf.image(*id).expect("live")).collect();
    ids.iter().step_by(2).for_each(|id| bpf.free(*id).expect("live"));
    assert!(bpf.is_dirty(places[0]) && !bpf.is_dirty(places[1]));
    let reuses = (0..200).filter(|_| {
        let binary = bpf.alloc(&untrusted).expect("room");
        assert!(!bpf.is_dirty(binary.extent()), "clean, or flushed just now");
        let reuses = places.iter().any(|place| place.overlaps(binary.extent()));
        binary.finalize().expect("memory");
        reuses
    });
    let reuses = reuses.count();
    assert!(flushes.get() <= reuses, "{} flushes for {reuses} places used again", flushes.get());
    // Trusted programs go anywhere.
    let before = flushes.get();
    let id = program(&bpf, &REQUEST, 1).expect("room");
    bpf.free(id).expect("live");
    program(&bpf, &REQUEST, 1).expect("room");
    assert_eq!(flushes.get(), before);
}

#[test]
fn dispatchers_use_their_halves_in_turn_and_know_their_targets() {
    let engine = engine();
    let bpf = Bpf::new(&engine, options(u64::MAX));
    let mut dispatcher = bpf.dispatcher(NoBreakpoints).expect("rows");
    let target = dispatcher.entry() + 0x1000;
    let mut halves = Vec::new();
    for targets in [&[target][..], &[target, target + 64], &[]] {
        let before = dispatcher.half();
        let seen = Cell::new(false);
        bpf.update(&mut dispatcher, targets, || seen.set(true)).expect("near");
        assert!(seen.get() && before != dispatcher.half(), "the other half, and a grace period");
        halves.push(dispatcher.half());
        let mut entry = [0; 5];
        engine.sim.fetch(dispatcher.entry(), &mut entry).expect("published");
        let distance = i32::from_le_bytes(entry[1..].try_into().expect("4 bytes"));
        let goes_to = (dispatcher.entry() + 5).wrapping_add_signed(distance.into());
        assert_eq!((entry[0], goes_to), (0xe9, dispatcher.half()));
        let mut half = vec![0; 2048];
        engine.sim.fetch(dispatcher.half(), &mut half).expect("published");
        let (end, rest) = half.split_at(19 * targets.len() + 2);
        assert_eq!(end[19 * targets.len()..], [0xff, 0xe2]);
        assert!(rest.iter().all(|byte| *byte == 0xcc), "nothing of an earlier update is left");
    }
    assert_eq!(halves[0], halves[2]);
    let many = vec![target; 49];
    assert!(matches!(bpf.update(&mut dispatcher, &many, || ()), Err(Error::TooManyTargets { .. })));
    let far = bpf.update(&mut dispatcher, &[0x7fff_0000_0000], || ());
    assert!(matches!(far, Err(Error::BranchOutOfReach { .. })));
    assert_eq!(dispatcher.half(), halves[2], "a refused update changes nothing");
    bpf.close(&dispatcher).expect("open");
    check_empty(&engine);
}

#[test]
fn trampolines_are_replaced_when_callers_are_redirected_and_not_before() {
    let engine = engine();
    let bpf = Bpf::new(&engine, options(u64::MAX));
    let mut trampoline = Trampoline::new();
    let current = Cell::new(0);
    let build = |byte: u8| move |_| Ok(vec![byte; 40]);
    let switch = |address| {
        current.set(address);
        Ok(())
    };
    bpf.replace_trampoline(&mut trampoline, 40, build(1), switch, || panic!("none before")).expect("room");
    let first = trampoline.image().expect("an image");
    let refused = bpf.replace_trampoline(
        &mut trampoline,
        40,
        build(2),
        |site| Err(Error::UnexpectedCode { site }),
        || panic!("not switched"),
    );
    assert!(refused.is_err() && trampoline.image() == Some(first));
    assert_eq!(bpf.usage().live, 1);
    bpf.replace_trampoline(&mut trampoline, 40, build(3), switch, || assert_eq!(bpf.usage().live, 2)).expect("room");
    let mut byte = [0];
    engine.sim.read(current.get(), &mut byte).expect("live");
    assert_eq!((byte, bpf.usage().live), ([3], 1));
    assert!(matches!(bpf.free(first), Err(Error::StaleId { .. })));
    bpf.free(trampoline.image().expect("an image")).expect("live");
    check_empty(&engine);
}

/// All a client can do, as far as the table has it.
fn life(engine: &Rig) -> Result<(), Error> {
    let bpf = Bpf::new(engine, options(u64::MAX));
    let mut trampoline = Trampoline::new();
    let outcome = program(&bpf, &REQUEST, 1).and_then(|id| {
        let outcome = bpf.replace_trampoline(&mut trampoline, 40, |_| Ok(vec![1; 40]), |_| Ok(()), || ());
        bpf.free(id)?;
        outcome
    });
    if let Some(image) = trampoline.image() {
        bpf.free(image)?;
    }
    let mut dispatcher = match bpf.dispatcher(NoBreakpoints) {
        Err(Error::NotPatchable { .. }) => return outcome,
        dispatcher => dispatcher?,
    };
    let (half, target) = (dispatcher.half(), dispatcher.entry() + 64);
    let updated = bpf.update(&mut dispatcher, &[target], || ());
    assert_eq!(updated.is_err(), dispatcher.half() == half);
    bpf.close(&dispatcher)?;
    outcome.and(updated)
}

#[test]
fn inv_09_a_refusal_at_any_step_leaves_nothing_of_a_program_or_dispatcher() {
    refuse_every_call(|engine| life(engine).is_ok());
}
