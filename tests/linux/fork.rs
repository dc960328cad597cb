//! What a child process may do with the parent's code.

use execmem::{BackendError, Error, Handle as _, kinds::Text};
use execmem_linux::{Publish, proc};

use crate::code::{constant, engine, install, run};
use crate::process::in_child;

#[test]
fn a_child_executes_shared_code_and_changes_nothing() {
    let engine = engine(Publish::Poke);
    let function = install(&engine, 42, 64);
    let failures = in_child(|| {
        let forked = |error| matches!(error, Error::Backend { source: BackendError::Forked, .. });
        let runs = run(&function) == 42;
        let patch = engine.patch(&function, 0, &constant(7, 0)).is_err_and(forked);
        let grow = engine.alloc::<execmem::kinds::Data>(64).is_err_and(forked);
        let mut draft = engine.alloc::<Text>(64).expect("room in the block, which the engine remembers");
        let write = engine.write(&mut draft, 0, &[0]).is_err_and(forked);
        i32::from(!(runs && patch && grow && write && run(&function) == 42))
    });
    assert_eq!(failures, Some(0));
    assert_eq!(run(&function), 42);
    let second = install(&engine, 43, 64);
    assert_eq!(run(&second), 43);
    engine.free(function).expect("ours");
    engine.free(second).expect("ours");
    engine.audit_unused().expect("the child touched nothing");
}

#[test]
fn a_child_of_a_patching_parent_sees_the_patch() {
    let engine = engine(Publish::Poke);
    let function = install(&engine, 1, 64);
    engine.patch(&function, 0, &constant(2, 0)).expect("published");
    assert_eq!(in_child(|| i32::from(run(&function) != 2)), Some(0));
    engine.free(function).expect("ours");
}

#[test]
fn a_child_that_drops_the_engine_leaves_memory_of_others_alone() {
    let engine = engine(Publish::Poke);
    let window = engine.backend().window();
    let mut engine = Some(engine);
    let function = install(engine.as_ref().expect("an engine"), 42, 64);
    let failures = in_child(|| {
        let before = proc::mappings().expect("proc").len();
        engine.take();
        let after = proc::mappings().expect("proc");
        let is_gone = after.iter().all(|area| !area.extent.overlaps(window));
        i32::from(!(is_gone && after.len() < before))
    });
    assert_eq!(failures, Some(0));
    assert_eq!(run(&function), 42);
    engine.expect("the parent's").free(function).expect("ours");
}

#[test]
fn a_child_has_a_copy_of_memory_that_is_mapped_once() {
    let engine = engine(Publish::Flip);
    let function = install(&engine, 42, 64);
    let failures = in_child(|| {
        let own = install(&engine, 7, 64);
        engine.patch(&function, 0, &constant(8, 0)).expect("its own copy");
        let outcome = run(&own) == 7 && run(&function) == 8 && own.address() != function.address();
        engine.free(own).expect("ours");
        i32::from(!outcome)
    });
    assert_eq!(failures, Some(0));
    assert_eq!(run(&function), 42, "the parent's is as it was");
    engine.free(function).expect("ours");
}
