//! Slots: their states, what is kept, what is stale, and that any refusal leaves nothing.

use std::cell::Cell;

use execmem::Kind;
use execmem_clients::Error;
use execmem_clients::kprobe::{Kprobes, SlotFormat, Slots};

use super::support::{check_empty, engine, granted, refuse_every_call};

const FORMAT: SlotFormat = SlotFormat { bytes: 16 };
const SLOTS_PER_PAGE: usize = 256;

/// Code that names its slot.
fn code(address: u64) -> Result<Vec<u8>, Error> {
    Ok([&[0x90; 8][..], &address.to_le_bytes()].concat())
}

#[test]
fn slots_lie_side_by_side_in_the_text_of_others() {
    let engine = engine();
    let kprobes = Kprobes::new(&engine, FORMAT, u64::MAX);
    let slots: Vec<_> = (0..1000).map(|_| kprobes.insert(code).expect("room")).collect();
    let mut addresses: Vec<_> = slots.iter().map(|slot| kprobes.address(*slot).expect("used")).collect();
    for (slot, address) in slots.iter().zip(&addresses) {
        let mut bytes = [0; 16];
        engine.sim.fetch(*address, &mut bytes).expect("published");
        assert_eq!(bytes[8..], address.to_le_bytes());
        assert_eq!((kprobes.find(*address), kprobes.find(*address + 15)), (Some(*slot), Some(*slot)));
        assert_eq!(engine.find(*address).map(|found| found.kind), Some(Kind::Kprobe));
    }
    addresses.sort_unstable();
    assert!(addresses.windows(2).all(|pair| pair[1] - pair[0] == 16));
    assert_eq!((kprobes.usage().bytes, engine.stats().bytes_mapped()), (16_000, 2 << 20));
    assert_eq!(engine.table().home(Kind::Kprobe), Kind::Text, "blocks are shared");
    assert_eq!(kprobes.slots(), Slots { clean: 0, dirty: 0, used: 1000 });
    kprobes.close(|| ());
    check_empty(&engine);
}

#[test]
fn released_slots_keep_their_code_until_the_grace_period_is_over() {
    let engine = engine();
    let kprobes = Kprobes::new(&engine, FORMAT, u64::MAX);
    let slot = kprobes.insert(code).expect("room");
    let late = kprobes.insert(code).expect("room");
    let address = kprobes.address(slot).expect("used");
    assert_eq!(kprobes.release(slot), Ok(false));
    assert_eq!(kprobes.find(address), Some(slot), "a processor may still be in it");
    assert!(engine.sim.fetch(address, &mut [0; 16]).is_ok_and(|()| is_intact(&engine, address)));
    let released_meanwhile = Cell::new(false);
    let collected = kprobes.collect(|| {
        assert!(is_intact(&engine, address), "not before the grace period");
        // A slot that is released during a grace period waits for the next.
        released_meanwhile.set(kprobes.release(late).is_ok());
    });
    assert_eq!((collected, released_meanwhile.get()), (1, true));
    assert!(!is_intact(&engine, address), "destroyed");
    assert_eq!(kprobes.find(address), None);
    assert_eq!(kprobes.slots(), Slots { clean: 1, dirty: 1, used: 0 });
    assert_eq!((kprobes.collect(|| ()), kprobes.collect(|| panic!("nothing to wait for"))), (1, 0));
    kprobes.close(|| ());
    check_empty(&engine);
}

fn is_intact(engine: &execmem::Engine<execmem_sim::Sim>, address: u64) -> bool {
    let mut bytes = [0; 16];
    engine.read_at(address, &mut bytes).expect("mapped");
    bytes[8..] == address.to_le_bytes()
}

#[test]
fn clean_slots_are_kept_up_to_a_page_and_used_first() {
    let engine = engine();
    let kprobes = Kprobes::new(&engine, FORMAT, u64::MAX);
    let slots: Vec<_> = (0..SLOTS_PER_PAGE * 3).map(|_| kprobes.insert(code).expect("room")).collect();
    let due: Vec<_> = slots.into_iter().map(|slot| kprobes.release(slot).expect("used")).collect();
    assert_eq!(due.iter().position(|due| *due), Some(SLOTS_PER_PAGE), "one more than a page is dirty");
    assert_eq!(kprobes.collect(|| ()), SLOTS_PER_PAGE * 3);
    assert_eq!(kprobes.slots(), Slots { clean: SLOTS_PER_PAGE, dirty: 0, used: 0 });
    assert_eq!(granted(&engine), 4096);
    let maps = engine.sim.counts().maps;
    for _ in 0..10_000 {
        let slot = kprobes.insert(code).expect("room");
        kprobes.release(slot).expect("used");
        kprobes.collect(|| ());
    }
    assert_eq!(engine.sim.counts().maps, maps);
    assert_eq!(kprobes.slots().clean, SLOTS_PER_PAGE);
    kprobes.close(|| ());
    check_empty(&engine);
}

#[test]
fn stale_and_foreign_names_are_errors_and_change_nothing() {
    let engine = engine();
    let (kprobes, others) = (Kprobes::new(&engine, FORMAT, u64::MAX), Kprobes::new(&engine, FORMAT, u64::MAX));
    let slot = kprobes.insert(code).expect("room");
    assert!(matches!(others.release(slot), Err(Error::ForeignId { .. })));
    assert!(matches!(others.address(slot), Err(Error::ForeignId { .. })));
    kprobes.release(slot).expect("used");
    assert!(matches!(kprobes.release(slot), Err(Error::StaleId { .. })), "released twice");
    kprobes.collect(|| ());
    assert!(matches!(kprobes.address(slot), Err(Error::StaleId { .. })));
    let again = kprobes.insert(code).expect("room");
    assert_ne!(slot, again, "the same place, another name");
    assert!(matches!(kprobes.release(slot), Err(Error::StaleId { .. })));
    assert_eq!(kprobes.slots().used, 1);
    kprobes.close(|| ());
    others.close(|| ());
    check_empty(&engine);
}

#[test]
fn limits_long_code_and_failing_builders_are_refused_and_take_nothing() {
    let engine = engine();
    let kprobes = Kprobes::new(&engine, FORMAT, 32);
    let too_long = kprobes.insert(|_| Ok(vec![0x90; 17]));
    assert_eq!(too_long, Err(Error::CodeTooLong { len: 17, room: 16 }));
    let failed = kprobes.insert(|address| Err(Error::NotCopyable { address }));
    assert!(matches!(failed, Err(Error::NotCopyable { .. })));
    assert_eq!(kprobes.slots(), Slots { clean: 1, dirty: 0, used: 0 }, "the slot is still clean");
    let slots = [kprobes.insert(code).expect("first"), kprobes.insert(code).expect("second")];
    assert_eq!(kprobes.insert(code), Err(Error::OverLimit { wanted: 16, held: 32, limit: 32 }));
    assert_eq!((kprobes.usage().refused, kprobes.usage().peak_bytes), (1, 32));
    slots.into_iter().for_each(|slot| assert_eq!(kprobes.release(slot), Ok(false)));
    kprobes.close(|| ());
    check_empty(&engine);
}

#[test]
fn inv_09_a_refusal_at_any_step_of_a_probe_leaves_nothing() {
    refuse_every_call(|engine| {
        let kprobes = Kprobes::new(engine, FORMAT, u64::MAX);
        let outcome = kprobes.insert(code).and_then(|slot| kprobes.release(slot));
        kprobes.collect(|| ());
        let again = kprobes.insert(code);
        kprobes.close(|| ());
        outcome.is_ok() && again.is_ok()
    });
}

#[test]
fn probes_come_and_go_from_several_threads() {
    let engine = engine();
    let kprobes = Kprobes::new(&engine, FORMAT, u64::MAX);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for round in 0..500 {
                    let slot = kprobes.insert(code).expect("room");
                    let address = kprobes.address(slot).expect("used");
                    assert!(is_intact(&engine, address) && kprobes.find(address) == Some(slot));
                    kprobes.release(slot).expect("used");
                    if round % 7 == 0 {
                        kprobes.collect(|| ());
                    }
                }
            });
        }
    });
    kprobes.collect(|| ());
    assert_eq!((kprobes.slots().used, kprobes.slots().dirty), (0, 0));
    kprobes.close(|| ());
    check_empty(&engine);
}
