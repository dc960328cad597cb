//! Two callers of one engine.

use execmem::kinds::Text;
use execmem::{Engine, Kind};
use loom::sync::Arc;

use crate::memory::{BLOCK, Lanes, Memory, engine};
use crate::{search, spawn};

/// Runs one thing in a thread and another in this one, on the same engine.
fn beside<A: Send + 'static, B>(
    engine: Engine<Memory, Kind, Lanes>,
    one: impl FnOnce(&Engine<Memory, Kind, Lanes>) -> A + Send + 'static,
    other: impl FnOnce(&Engine<Memory, Kind, Lanes>) -> B,
) -> (Arc<Engine<Memory, Kind, Lanes>>, A, B) {
    let engine = Arc::new(engine);
    let thread = spawn({
        let engine = Arc::clone(&engine);
        move || one(&engine)
    });
    let other = other(&engine);
    let one = thread.join().expect("no panic");
    engine.audit().expect("audit");
    (engine, one, other)
}

#[test]
fn of_two_allocations_that_race_for_the_last_range_one_gets_it() {
    search(|| {
        let engine = engine(1);
        let _rest = engine.alloc::<Text>(BLOCK - 64).expect("room");
        let (_, one, other) = beside(engine, |engine| engine.alloc::<Text>(64), |engine| engine.alloc::<Text>(64));
        assert!(one.is_ok() != other.is_ok(), "{one:?} {other:?}");
    });
}

#[test]
fn who_makes_room_gets_it_while_others_allocate_and_free_and_nobody_makes_more() {
    search(|| {
        let (engine, large, ()) = beside(
            engine(2),
            |engine| engine.alloc::<Text>(BLOCK / 2).expect("room"),
            |engine| {
                let small = engine.alloc::<Text>(64).expect("room");
                engine.free(small).expect("ours");
            },
        );
        assert_eq!(engine.facts().maps(), (1, 1));
        assert_eq!(engine.find(large.address()).map(|found| found.extent), Some(large.extent()));
    });
}

#[test]
fn a_block_whose_last_range_is_freed_while_memory_is_taken_back_goes_once() {
    search(|| {
        let engine = engine(1);
        let last = engine.alloc::<Text>(64).expect("room");
        let (engine, (), early) = beside(engine, |engine| engine.free(last).expect("ours"), |engine| engine.shrink());
        assert_eq!(early + engine.shrink(), BLOCK);
        assert_eq!(engine.facts().maps(), (1, 0));
    });
}

#[test]
fn published_code_survives_that_its_place_was_freed_just_before() {
    search(|| {
        let engine = engine(1);
        let _rest = engine.alloc::<Text>(BLOCK - 128).expect("room");
        let gone = engine.alloc::<Text>(64).expect("room");
        let (engine, (), code) = beside(
            engine,
            |engine| engine.free(gone).expect("ours"),
            |engine| {
                let mut draft = engine.alloc::<Text>(64).expect("room");
                engine.write(&mut draft, 0, &[0xc3]).expect("a draft");
                engine.publish(draft).expect("memory")
            },
        );
        assert_eq!(engine.facts().byte(code.address()), 0xc3);
    });
}
