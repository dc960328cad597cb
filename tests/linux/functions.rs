//! Functions of this machine, written, published, called, changed and freed through every way to publish.

use execmem::Error;
use execmem_linux::Publish;

use super::code::{DATA, constant, engine, install, run, text_bytes};

/// The tests of one way to publish.
macro_rules! of {
    ($way:ident: $publish:ident, $($test:ident)*) => {
        mod $way {
            skip::tests! { $($test)* }

            $(fn $test() { super::$test(execmem_linux::Publish::$publish); })*
        }
    };
}

/// The tests of every way to publish.
macro_rules! of_all {
    ($($test:ident)*) => {
        of! { poke: Poke, $($test)* }
        of! { proc_mem: ProcMem, $($test)* }
        of! { flip: Flip, $($test)* }

        /// The tests of this file.
        pub(crate) fn tests() -> Vec<skip::Test> {
            [poke::tests(), proc_mem::tests(), flip::tests()].into_iter().flatten().collect()
        }
    };
}

of_all! {
    forty_two
    functions_return_what_they_were_generated_to
    patched_functions_return_the_new_value
    data_kinds_hold_data_at_their_address
    handles_of_another_engine_are_refused_and_come_back
    threads_install_run_and_free_at_once
    freed_code_traps_before_anybody_gets_it
}

/// Every address is executed for the first time, so emulators that find rewritten code by its first mapping only get
/// it right as well.
fn forty_two(publish: Publish) {
    let engine = engine(publish);
    assert_eq!(engine.facts().publish(), publish);
    let answer = install(&engine, 42, 0);
    assert_eq!(run(&answer), 42);
    let values = [0, 1, 0x7ff, 0x800, 0xfff, 0x7fff, 0x8000, 0xffff, 0x1_0000, 0x7fff_ffff, 0x8000_0000, u32::MAX];
    let functions: Vec<_> = values.into_iter().chain(0..300).map(|value| (value, install(&engine, value, 0))).collect();
    for (value, function) in &functions {
        assert_eq!(run(function), *value);
    }
    text_bytes(&engine);
    for (_, function) in functions {
        engine.free(function).expect("ours");
    }
    engine.free(answer).expect("ours");
    engine.audit_unused().expect("freed text traps");
}

fn functions_return_what_they_were_generated_to(publish: Publish) {
    let engine = engine(publish);
    let functions: Vec<_> = (0..3000).map(|i: u32| install(&engine, i * 7, 40 + i as usize % 3000)).collect();
    for (i, function) in (0..).zip(&functions) {
        assert_eq!(run(function), i * 7);
    }
    for function in functions {
        engine.free(function).expect("ours");
    }
    engine.shrink();
    engine.audit().expect("audit");
    assert_eq!(engine.stats().bytes_mapped(), 0);
}

fn patched_functions_return_the_new_value(publish: Publish) {
    let engine = engine(publish);
    let function = install(&engine, 1, 64);
    for value in 2..100_u32 {
        engine.patch_unexecuted(&function, 0, &constant(value, 0)).expect("published code");
        assert_eq!(run(&function), value);
        text_bytes(&engine);
    }
    engine.free(function).expect("ours");
}

fn data_kinds_hold_data_at_their_address(publish: Publish) {
    let engine = engine(publish);
    for kind in DATA {
        let mut draft = engine.alloc_kind(kind, 5000).expect("room");
        engine.write(&mut draft, 4000, b"content").expect("a draft");
        let live = engine.publish(draft).expect("memory");
        let mut bytes = [0; 7];
        engine.read(&live, 4000, &mut bytes).expect("live");
        assert_eq!(&bytes, b"content");
        engine.free(live).expect("ours");
    }
    engine.audit_unused().expect("freed memory is zero");
}

fn handles_of_another_engine_are_refused_and_come_back(publish: Publish) {
    let (one, other) = (engine(publish), engine(publish));
    let function = install(&one, 5, 64);
    let failed = other.free(function).expect_err("not its own");
    assert!(matches!(failed.error, Error::ForeignHandle { .. }));
    assert_eq!(run(&failed.handle), 5);
    one.free(failed.handle).expect("its own");
}

fn threads_install_run_and_free_at_once(publish: Publish) {
    let engine = engine(publish);
    std::thread::scope(|scope| {
        for thread in 0..4_u32 {
            let engine = &engine;
            scope.spawn(move || {
                for round in 0..1000_u32 {
                    let value = thread << 16 | round;
                    let function = install(engine, value, 100 + round as usize % 900);
                    assert_eq!(run(&function), value);
                    engine.free(function).expect("ours");
                }
            });
        }
    });
    engine.audit().expect("audit");
    engine.audit_unused().expect("freed text traps");
}

fn freed_code_traps_before_anybody_gets_it(publish: Publish) {
    let engine = engine(publish);
    let (kept, freed) = (install(&engine, 1, 64), install(&engine, 2, 64));
    let address = freed.address();
    engine.free(freed).expect("ours");
    let draft = engine.alloc::<execmem::kinds::Text>(64).expect("room");
    assert_eq!(draft.address(), address, "the same place");
    let mut bytes = [0; 64];
    engine.read(&draft, 0, &mut bytes).expect("a draft");
    assert!(engine.facts().machine().trap().matches(address, &bytes));
    assert_eq!(run(&kept), 1);
    engine.free(draft).expect("ours");
    engine.free(kept).expect("ours");
}
