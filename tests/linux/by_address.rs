//! Memory whose owners keep nothing but its address: every way to publish, addresses of others, children.

use std::sync::atomic::{AtomicBool, Ordering};

use execmem::{Error, kinds::Text};
use execmem_linux::{ByAddress, Publish, call, writable};

use super::code::{constant, engine, ways};
use super::fork::{Over, end_soon, is_forked};
use super::process::{in_a_process, in_child};

skip::tests! {
    what_is_kept_is_published_and_freed_by_any_address_of_it
    an_address_of_another_owner_or_of_nothing_changes_nothing
    handles_of_another_engine_are_not_kept
    neighbours_and_what_lies_far_apart_are_told_apart
    what_is_kept_is_freed_with_the_keeper
    a_child_is_refused_everything_and_frees_nothing
    a_child_forked_while_threads_publish_and_free_neither_hangs_nor_changes_anything
}

fn what_is_kept_is_published_and_freed_by_any_address_of_it() {
    for publish in ways() {
        let engine = engine(publish);
        let kept = ByAddress::new(&engine);
        let mut draft = engine.alloc::<Text>(64).expect("room");
        let code = constant(42, 0);
        match writable(&engine, &mut draft) {
            // SAFETY: the draft is longer than the code, and is neither published nor freed.
            Some(pointer) => unsafe { pointer.copy_from(code.as_ptr(), code.len()) },
            None => engine.write(&mut draft, 0, &code).expect("a draft"),
        }
        let address = kept.keep_draft(draft).expect("heap");
        kept.publish_at(address + 8).expect("a draft");
        kept.publish_at(address).expect("published already");
        // SAFETY: a function without arguments was published there.
        assert_eq!(unsafe { call(address, [0; 4]) }, 42, "{publish:?}");
        assert_eq!(kept.count(), 1);
        kept.free_at(address + 63).expect("the last byte");
        assert_eq!((kept.count(), kept.free_at(address)), (0, Err(Error::NotFound { address })));
        let never_published = kept.keep_draft(engine.alloc::<Text>(64).expect("room")).expect("heap");
        kept.free_at(never_published).expect("a draft");
        engine.audit_unused().expect("traps");
    }
}

fn an_address_of_another_owner_or_of_nothing_changes_nothing() {
    let engine = engine(Publish::Poke);
    let [one, other] = [(); 2].map(|()| ByAddress::new(&engine));
    let address = one.keep_draft(engine.alloc::<Text>(64).expect("room")).expect("heap");
    let own = engine.alloc::<Text>(64).expect("room");
    for wrong in [address, own.address(), address + 64, 0, u64::MAX, 1 << 63] {
        let not_found = Err(Error::NotFound { address: wrong });
        assert_eq!((other.free_at(wrong), other.publish_at(wrong)), (not_found, not_found), "{wrong:#x}");
    }
    assert_eq!((one.count(), other.count()), (1, 0));
    one.publish_at(address).expect("it is still there");
    one.free_at(address).expect("and live");
    engine.free(own).expect("ours");
    engine.audit_unused().expect("traps");
}

fn handles_of_another_engine_are_not_kept() {
    let [here, there] = [(); 2].map(|()| engine(Publish::Poke));
    let kept = ByAddress::new(&here);
    let draft = there.alloc::<Text>(64).expect("room");
    let address = draft.address();
    assert_eq!(kept.keep_draft(draft), Err(Error::ForeignHandle { address }));
    assert_eq!((kept.count(), there.find(address).map(|found| found.extent.start())), (0, Some(address)));
}

fn neighbours_and_what_lies_far_apart_are_told_apart() {
    let engine = engine(Publish::Poke);
    let kept = ByAddress::new(&engine);
    let keep = |len| kept.keep_draft(engine.alloc::<Text>(len).expect("room")).expect("heap");
    let small: Vec<_> = (0..3000).map(|_| keep(64)).collect();
    let large: Vec<_> = (0..40).map(|_| keep(300_000)).collect();
    assert_eq!(kept.count(), 3040);
    for address in small.iter().step_by(2).chain(&large) {
        kept.free_at(*address).expect("kept");
    }
    assert!(small.iter().step_by(2).all(|address| kept.free_at(*address).is_err()), "twice");
    for address in small.iter().skip(1).step_by(2) {
        kept.publish_at(*address).and_then(|()| kept.free_at(*address)).expect("kept");
    }
    assert_eq!(kept.count(), 0);
    engine.audit_unused().expect("traps");
}

fn what_is_kept_is_freed_with_the_keeper() {
    let engine = engine(Publish::Poke);
    let kept = ByAddress::new(&engine);
    for _ in 0..100 {
        kept.keep_draft(engine.alloc::<Text>(64).expect("room")).expect("heap");
        kept.keep(engine.publish(engine.alloc::<Text>(64).expect("room")).expect("memory")).expect("heap");
    }
    drop(kept);
    assert_eq!(engine.kind_stats(execmem::Kind::Text).live, 0);
    engine.audit_unused().expect("traps");
}

fn a_child_is_refused_everything_and_frees_nothing() {
    // Alone: locks of the C library that other threads held stay locked.
    in_a_process("by_address::a_child_is_refused_everything_and_frees_nothing", || {
        for publish in ways() {
            let engine = engine(publish);
            let kept = ByAddress::new(&engine);
            let mut draft = engine.alloc::<Text>(64).expect("room");
            engine.write(&mut draft, 0, &constant(42, 0)).expect("a draft");
            let address = kept.keep(engine.publish(draft).expect("memory")).expect("heap");
            let unpublished = kept.keep_draft(engine.alloc::<Text>(64).expect("room")).expect("heap");
            let in_the_child = || {
                let refused = [kept.free_at(address), kept.publish_at(unpublished)];
                let refused = refused.iter().all(|outcome| outcome.as_ref().is_err_and(is_forked));
                // SAFETY: the function was published before the fork.
                i32::from(!(refused && kept.count() == 2 && unsafe { call(address, [0; 4]) } == 42))
            };
            assert_eq!(in_child(in_the_child), Some(0), "{publish:?}");
            kept.free_at(address).expect("the child freed nothing");
            kept.free_at(unpublished).expect("nor this");
            engine.audit_unused().expect("traps");
        }
    });
}

fn a_child_forked_while_threads_publish_and_free_neither_hangs_nor_changes_anything() {
    let name = "by_address::a_child_forked_while_threads_publish_and_free_neither_hangs_nor_changes_anything";
    in_a_process(name, || ways().for_each(fork_beside_a_keeper));
}

fn fork_beside_a_keeper(publish: Publish) {
    const FORKS: usize = 300;
    let engine = engine(publish);
    let kept = ByAddress::new(&engine);
    let address = kept.keep_draft(engine.alloc::<Text>(64).expect("room")).expect("heap");
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let _over = Over(&is_over);
        for _ in 0..2 {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    let own = kept.keep_draft(engine.alloc::<Text>(64).expect("room")).expect("heap");
                    kept.publish_at(own).and_then(|()| kept.free_at(own)).expect("kept");
                }
            });
        }
        for _ in 0..FORKS {
            let outcome = in_child(|| {
                end_soon();
                let refused = [kept.free_at(address), kept.publish_at(address)];
                let is_refused = refused.iter().all(|outcome| outcome.as_ref().is_err_and(is_forked));
                i32::from(!(is_refused && (1..=3).contains(&kept.count())))
            });
            assert_eq!(outcome, Some(0), "{publish:?}");
        }
    });
    assert_eq!(kept.count(), 1);
    drop(kept);
    engine.audit_unused().expect("all of it is free");
}
