//! Content: what may be written when, and what is left afterwards.

use execmem::kinds::{Data, Text};
use execmem::{Error, Kind, Operation, Table, Violation};
use execmem_arch_x86::{TABLE, X86_FLIP};
use execmem_sim::Random;
use execmem_tests::recorder::{Call, Recorded};
use execmem_tests::tables::named;
use execmem_types::{Access, SyncScope};

fn engine(table: Table) -> Recorded {
    Recorded::new(table)
}

#[test]
fn inv_07_published_bytes_change_by_patch_only() {
    for table in [TABLE, X86_FLIP] {
        let engine = engine(table);
        let mut draft = engine.alloc_kind(Kind::Text, 64).expect("room");
        engine.write(&mut draft, 0, &[0x90; 64]).expect("a draft");
        let mut live = engine.publish(draft).expect("memory");
        let refused = Error::WrongKind { kind: Kind::Text.into(), operation: Operation::Write };
        assert_eq!(engine.write(&mut live, 0, &[1]), Err(refused));
        assert!(engine.sim.store(live.address(), &[1]).is_err());
        let mut byte = [0];
        engine.sim.fetch(live.address(), &mut byte).expect("published");
        assert_eq!(byte, [0x90]);
        engine.patch_unexecuted(&live, 0, &[0xcc]).expect("code");
        engine.sim.fetch(live.address(), &mut byte).expect("still executable");
        assert_eq!(byte, [0xcc]);
        engine.free(live).expect("ours");
    }
}

#[test]
fn inv_06_text_is_trapped_and_retired_before_its_address_is_used_again() {
    let engine = engine(TABLE);
    let keep = engine.alloc::<Text>(64).expect("room");
    let draft = engine.alloc::<Text>(64).expect("room");
    let extent = draft.extent();
    let live = engine.publish(draft).expect("memory");
    let _ = engine.recording.take();
    engine.free(live).expect("ours");
    let calls = engine.recording.take();
    assert_eq!(calls, [Call::Fill(Access::Poke, extent), Call::Sync(extent, SyncScope::Retired)]);
    assert_eq!(engine.alloc::<Text>(64).expect("room").extent(), extent);
    drop(keep);
}

#[test]
fn inv_06_addresses_of_a_block_are_reused_only_after_it_was_unmapped() {
    let engine = engine(TABLE);
    let block = engine.alloc::<Text>(2 << 20).expect("room").extent();
    let draft = engine.alloc::<Text>(2 << 20).expect("room");
    engine.free(draft).expect("ours");
    engine.shrink();
    let _again = engine.alloc::<Text>(2 << 20).expect("room");
    let calls = engine.recording.take();
    let maps = calls.iter().enumerate().filter_map(|(at, call)| match call {
        Call::Map(extent, _) => Some((at, *extent)),
        _ => None,
    });
    for (at, extent) in maps {
        let earlier = calls[..at].iter().rev().find(|call| match call {
            Call::Map(other, _) | Call::Unmap(other) => other.overlaps(extent),
            _ => false,
        });
        assert!(!matches!(earlier, Some(Call::Map(..))), "{extent} was mapped twice");
    }
    assert!(block.len() > 0);
}

#[test]
fn accesses_outside_an_allocation_are_errors() {
    let engine = engine(TABLE);
    let mut draft = engine.alloc::<Data>(100).expect("room");
    let granted = draft.extent().len();
    for (offset, len) in [(granted, 1), (granted - 1, 2), (u64::MAX, 1), (0, 1000)] {
        let refused = Error::OutOfBounds { offset, len: len as u64, granted };
        assert_eq!(engine.write(&mut draft, offset, &vec![1; len]), Err(refused));
        assert_eq!(engine.read(&draft, offset, &mut vec![1; len]), Err(refused));
    }
    assert_eq!(engine.write(&mut draft, granted, &[]), Ok(()));
    engine.free(draft).expect("ours");
    engine.audit_unused().expect("nothing was written");
}

#[test]
fn data_cannot_be_patched_and_kinds_cannot_be_mistaken() {
    let engine = engine(TABLE);
    let draft = engine.alloc_kind(Kind::Data, 100).expect("room");
    let live = engine.publish(draft).expect("memory");
    let refused = Error::WrongKind { kind: Kind::Data.into(), operation: Operation::Patch };
    assert_eq!(engine.patch(&live, 0, &[1]), Err(refused));
    let live = live.retype::<Text>().expect_err("it is data");
    let mut live = live.retype::<Data>().expect("it is data");
    engine.write(&mut live, 0, &[1]).expect("data stays writable");
    engine.free(live).expect("ours");
}

#[test]
fn parts_of_a_cut_allocation_are_freed_in_any_order() {
    for order in [[0, 1, 2], [2, 1, 0], [1, 0, 2], [1, 2, 0]] {
        let engine = engine(TABLE);
        let mut first = engine.alloc::<Text>(1000).expect("room");
        let mut second = engine.split(&mut first, 300).expect("inside");
        let third = engine.split(&mut second, 200).expect("inside");
        assert_eq!((first.extent().len(), second.extent().len(), third.extent().len()), (320, 256, 448));
        let mut parts = [Some(first), Some(second), Some(third)];
        for part in order {
            engine.free(parts[part].take().expect("once")).expect("ours");
            engine.audit().expect("audit");
        }
        engine.shrink();
        assert_eq!(engine.stats().bytes_mapped(), 0);
    }
}

#[test]
fn inv_05_the_audit_names_the_free_byte_that_is_not_the_pattern() {
    for table in ["x86", "arm64-4k", "s390"].map(|name| named(name).table) {
        let engine = engine(table);
        let draft = engine.alloc::<Text>(100).expect("room");
        let free = draft.extent().last() + 1;
        for address in [0, 1, 4095, 4096, 30_001].map(|distance| free + distance) {
            let mut byte = [0];
            engine.sim.read(address, &mut byte).expect("mapped");
            engine.audit_unused().expect("as it was mapped");
            engine.sim.corrupt(address, &[!byte[0]]).expect("mapped");
            assert_eq!(engine.audit_unused(), Err(Violation::NotUnused { kind: Kind::Text.into(), address }));
            engine.sim.corrupt(address, &byte).expect("mapped");
        }
        engine.free(draft).expect("ours");
    }
}

#[test]
fn a_writer_copies_to_the_address_that_it_knows() {
    let engine = engine(TABLE);
    let mut draft = engine.alloc::<Text>(40).expect("room");
    let address = draft.address();
    let outcome = engine.write_with(&mut draft, |draft, entry| {
        assert_eq!((entry, draft.here(), draft.room()), (address, address, 64));
        draft.push(&[0xe9, 0, 0, 0, 0])?; // jmp to where the rest ends
        draft.push(&[0x90; 11])?;
        let distance = u32::try_from(draft.here() - entry - 5).expect("near");
        draft.put(1, &distance.to_le_bytes())?;
        assert_eq!((draft.position(), draft.here()), (16, address + 16));
        let beyond = Error::OutOfBounds { offset: 16, len: 49, granted: 64 };
        assert_eq!(draft.push(&[0; 49]), Err(beyond));
        assert_eq!(draft.put(u64::MAX, &[0]), Err(Error::OutOfBounds { offset: u64::MAX, len: 1, granted: 64 }));
        draft.push(&[0xc3])
    });
    assert_eq!(outcome, Ok(()));
    let mut bytes = [0; 17];
    engine.read(&draft, 0, &mut bytes).expect("a draft");
    assert_eq!((&bytes[..6], bytes[16]), (&[0xe9, 11, 0, 0, 0, 0x90][..], 0xc3));
    engine.free(draft).expect("ours");
}

#[test]
fn bytes_before_the_entry_point_are_the_callers_and_no_writer_or_emitter_touches_them() {
    let table = TABLE.adjusted(|plan| plan.own_mut(Kind::Text).expect("a row of its own").lead = 16).expect("a table");
    let engine = engine(table);
    let mut draft = engine.alloc::<Text>(40).expect("room");
    let start = draft.address();
    assert_eq!((draft.extent().len(), engine.entry(&draft)), (64, start + 16));
    engine.write(&mut draft, 0, &[0xaa; 16]).expect("the caller's");
    let outcome = engine.write_with(&mut draft, |draft, entry| {
        assert_eq!((entry, draft.here(), draft.room()), (start + 16, start + 16, 48));
        assert_eq!(draft.push(&[0; 49]), Err(Error::OutOfBounds { offset: 0, len: 49, granted: 48 }));
        assert_eq!(draft.put(48, &[0]), Err(Error::OutOfBounds { offset: 48, len: 1, granted: 48 }));
        draft.push(&[0x90; 48])
    });
    assert_eq!(outcome, Ok(()));
    let mut bytes = [0; 64];
    engine.read(&draft, 0, &mut bytes).expect("a draft");
    assert_eq!((&bytes[..16], &bytes[16..]), (&[0xaa; 16][..], &[0x90; 48][..]));
    engine.free(draft).expect("ours");
    // 48 bytes fit one quantum with what stands before them, and one more does not.
    for (guess, len, granted, rounds) in [(48, 48, 64, 1), (48, 49, 128, 2), (49, 48, 64, 2), (1, 0, 64, 1)] {
        let mut entries = Vec::new();
        let code = engine.emit::<Text, _, Error>(guess, |entry| {
            entries.push(entry);
            Ok(vec![0xc3; len])
        });
        let code = code.expect("room");
        assert_eq!((code.extent().len(), entries.len()), (granted, rounds), "{guess} {len}");
        assert_eq!(entries.last(), Some(&engine.entry(&code)));
        engine.free(code).expect("ours");
    }
    engine.audit_unused().expect("traps");
}

#[test]
fn of_what_is_split_each_part_takes_with_it_what_was_asked_for_there() {
    let engine = engine(TABLE);
    let requested = || engine.kind_stats(Kind::Text).bytes_requested;
    for (cut, is_first_freed) in [(512, true), (512, false), (64, true), (960, true), (960, false)] {
        let mut first = engine.alloc::<Text>(1000).expect("room");
        assert_eq!((first.extent().len(), requested()), (1024, 1000));
        let second = engine.split(&mut first, cut).expect("in the middle");
        assert_eq!((first.extent().len(), second.extent().len(), requested()), (cut, 1024 - cut, 1000));
        let (freed, kept, left) = if is_first_freed { (first, second, 1000 - cut) } else { (second, first, cut) };
        engine.free(freed).expect("ours");
        assert_eq!(requested(), left, "{cut}");
        engine.free(kept).expect("ours");
        assert_eq!(requested(), 0);
    }
}

#[test]
fn code_that_is_emitted_fits_whatever_was_guessed() {
    let engine = engine(TABLE);
    for (guess, len) in [(0, 1), (1, 64), (64, 64), (64, 65), (100_000, 70), (1, 100_000)] {
        let mut addresses = Vec::new();
        let code = engine.emit::<Text, _, Error>(guess, |address| {
            addresses.push(address);
            Ok(vec![0x90; len])
        });
        let code = code.expect("room");
        let (len, guess) = ((len as u64).next_multiple_of(64), guess.max(1).next_multiple_of(64));
        assert_eq!((code.extent().len(), addresses.len()), (len, 1 + usize::from(len != guess)));
        assert_eq!(addresses.last(), Some(&code.address()));
        assert_eq!(engine.kind_stats(Kind::Text).bytes_granted, code.extent().len());
        engine.free(code).expect("ours");
    }
    engine.audit_unused().expect("trapped");
}

#[test]
fn code_that_cannot_be_emitted_leaves_nothing() {
    let engine = engine(TABLE);
    let mut len = 64;
    let grows = engine.emit::<Text, _, Error>(1, |_| {
        len += 64;
        Ok(vec![0x90; len])
    });
    assert_eq!(grows.map(drop), Err(Error::OutOfBounds { offset: 0, len: 576, granted: 512 }));
    let refused = engine.emit::<Text, Vec<u8>, Error>(1000, |address| Err(Error::NotFound { address: address & 1 }));
    assert_eq!(refused.map(drop), Err(Error::NotFound { address: 0 }));
    let stats = engine.kind_stats(Kind::Text);
    assert_eq!((stats.live, stats.dropped), (0, 0));
    engine.audit_unused().expect("trapped");
}

#[test]
fn code_that_becomes_shorter_at_its_address_is_cut() {
    let engine = engine(TABLE);
    let mut lens = [500, 300].into_iter();
    let code = engine.emit::<Text, _, Error>(1000, |_| Ok(vec![0x90; lens.next().expect("two passes")])).expect("room");
    assert_eq!(code.extent().len(), 320);
    engine.free(code).expect("ours");
    engine.audit_unused().expect("trapped");
}

#[test]
fn programs_that_are_over_estimated_by_half_need_one_block_more_at_most_when_they_are_replaced() {
    const PROGRAMS: u64 = 10_000;
    let engine = engine(TABLE);
    let mut random = Random::new(24);
    let mut emit = || {
        let len = 200 + random.below(12_000);
        engine.emit::<Text, _, Error>(len + len / 2, |_| Ok(vec![0x90; usize::try_from(len).expect("short")]))
    };
    let mut programs: Vec<_> = (0..PROGRAMS).map(|_| emit().expect("room")).collect();
    let before = engine.stats().bytes_mapped();
    for _ in 0..4 {
        for program in &mut programs {
            let old = std::mem::replace(program, emit().expect("room"));
            engine.free(old).expect("ours");
        }
        // One block at most, in which there is room for guesses.
        let after = engine.stats().bytes_mapped();
        assert!(after <= before + (2 << 20), "{before} bytes before, {after} after");
    }
    programs.into_iter().for_each(|program| engine.free(program).expect("ours"));
    engine.audit().expect("audit");
}
