//! The engine that everything in a process shares.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use execmem::{Engine, Error, Kind};
use execmem_linux::{Function, Linux, Options, Publish, SetupError, shared, shared_with};

use super::code::{install, run, ways};
use super::process::{in_a_process, in_child};

skip::tests! {
    forty_callers_have_one_window_near_the_program
    the_options_of_the_first_caller_count
    a_child_has_a_shared_engine_of_its_own_and_calls_its_parents_code
    a_fork_while_the_engine_is_made_leaves_nothing_half_made
    functions_are_called_by_their_types_and_freed_when_dropped
    functions_know_their_address_behind_a_lead
    a_child_calls_functions_and_drops_them_without_harm
}

fn ours() -> &'static Engine<Linux> {
    shared().expect("executable memory")
}

fn forty_callers_have_one_window_near_the_program() {
    in_a_process("shared::forty_callers_have_one_window_near_the_program", || {
        let engines: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..40_u32)
                .map(|library| {
                    scope.spawn(move || {
                        let engine = ours();
                        let function = install(engine, library, 64);
                        assert_eq!(run(&function), library);
                        assert!(!function.is_far());
                        engine.free(function).expect("the same engine");
                        engine
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
        });
        assert!(engines.iter().all(|engine| std::ptr::eq(*engine, engines[0])));
        assert!(engines[0].facts().anchor().is_some());
        engines[0].audit().expect("audit");
    });
}

fn the_options_of_the_first_caller_count() {
    for publish in ways() {
        let outcome = in_child_process("shared::the_options_of_the_first_caller_count", publish, |publish| {
            let options = Options::default().window(64 << 20).publish(publish);
            let first = shared_with(&options).expect("executable memory");
            let second = shared_with(&Options::default()).expect("the same");
            assert!(std::ptr::eq(first, second) && std::ptr::eq(first, ours()));
            assert_eq!((first.facts().window().len(), first.facts().publish()), (64 << 20, publish));
        });
        if outcome.is_none() {
            return;
        }
    }
}

/// Runs a body for one way to publish in a process of its own; nothing in that process itself.
fn in_child_process(test: &str, publish: Publish, body: impl FnOnce(Publish)) -> Option<()> {
    const WAY: &str = "EXECMEM_TEST_WAY";
    if let Ok(way) = std::env::var(WAY) {
        body(ways().find(|publish| format!("{publish:?}") == way).expect("a way"));
        return None;
    }
    let test = format!("linux::{test}");
    let mut command = Command::new(std::env::current_exe().expect("a test program"));
    command.args(["--exact", &test]).env(WAY, format!("{publish:?}"));
    let output = command.output().expect("a process");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
    Some(())
}

fn a_child_has_a_shared_engine_of_its_own_and_calls_its_parents_code() {
    in_a_process("shared::a_child_has_a_shared_engine_of_its_own_and_calls_its_parents_code", || {
        let options = Options::default().window(64 << 20);
        let engine = shared_with(&options).expect("executable memory");
        let function = install(engine, 42, 64);
        let outcome = in_child(|| {
            let own = ours();
            let second = install(own, 7, 64);
            let is_other = !std::ptr::eq(own, engine) && std::ptr::eq(own, ours());
            let has_options = own.facts().window().len() == 64 << 20;
            let grandchild = in_child(|| {
                let third = install(ours(), 8, 64);
                i32::from(!(run(&third) == 8 && run(&second) == 7 && run(&function) == 42))
            });
            i32::from(!(is_other && has_options && run(&second) == 7 && run(&function) == 42 && grandchild == Some(0)))
        });
        assert_eq!(outcome, Some(0));
        assert_eq!(run(&function), 42);
        engine.free(function).expect("ours");
    });
}

fn a_fork_while_the_engine_is_made_leaves_nothing_half_made() {
    in_a_process("shared::a_fork_while_the_engine_is_made_leaves_nothing_half_made", || {
        for _ in 0..50 {
            // Each in a process in which nothing was made yet.
            let outcome = in_child(|| {
                let is_started = AtomicBool::new(false);
                std::thread::scope(|scope| {
                    scope.spawn(|| {
                        is_started.store(true, Ordering::Release);
                        assert_eq!(run(&install(ours(), 1, 64)), 1);
                    });
                    while !is_started.load(Ordering::Acquire) {
                        std::hint::spin_loop();
                    }
                    in_child(|| {
                        // SAFETY: alarm(2) takes no pointers.
                        unsafe { libc::alarm(20) };
                        i32::from(run(&install(ours(), 2, 64)) != 2)
                    })
                })
                .unwrap_or(99)
            });
            assert_eq!(outcome, Some(0));
        }
    });
}

/// A function that returns its own address.
fn own_address(address: u64) -> Result<Vec<u8>, Error> {
    Ok([&[0x48, 0xb8], &address.to_le_bytes()[..], &[0xc3]].concat()) // movabs rax, address; ret
}

fn functions_are_called_by_their_types_and_freed_when_dropped() {
    for publish in ways() {
        let engine = Arc::new(Linux::engine(&Options::default().publish(publish)).expect("executable memory"));
        let length = Function::new_in(&engine, &[0x8b, 0x47, 0x04, 0xc3]).expect("room"); // mov eax, [rdi + 4]; ret
        // SAFETY: a complete function that reads four bytes of what it is given.
        let call = unsafe { length.as_fn::<extern "C" fn(&[u32; 2]) -> u32>() };
        assert_eq!(call(&[1, 7]), 7);
        let own = Function::emit_in(Arc::clone(&engine), 4000, own_address).expect("room");
        // SAFETY: a complete function without arguments.
        let call = unsafe { own.as_fn::<extern "C" fn() -> u64>() };
        assert_eq!(call(), own.address());
        engine.patch_unexecuted(own.memory(), 2, &7_u64.to_le_bytes()).expect("published code");
        assert_eq!((call(), engine.kind_stats(Kind::Text).live), (7, 2));
        drop((length, own));
        assert_eq!((engine.kind_stats(Kind::Text).live, engine.kind_stats(Kind::Text).dropped), (0, 0));
        engine.audit_unused().expect("freed code traps");
    }
}

fn functions_know_their_address_behind_a_lead() {
    let engine = Linux::engine(&Options::default().lead(32)).expect("executable memory");
    let own = Function::emit_in(&engine, 1, own_address).expect("room");
    assert_eq!(own.address(), own.memory().address() + 32);
    // SAFETY: a complete function without arguments.
    assert_eq!(unsafe { own.as_fn::<extern "C" fn() -> u64>() }(), own.address());
}

fn a_child_calls_functions_and_drops_them_without_harm() {
    in_a_process("shared::a_child_calls_functions_and_drops_them_without_harm", || {
        let emit = || Function::emit::<_, SetupError>(64, |address| Ok(own_address(address)?)).expect("room");
        let mut own = Some(emit());
        // SAFETY: a complete function without arguments.
        let call = unsafe { own.as_ref().expect("emitted").as_fn::<extern "C" fn() -> u64>() };
        let outcome = in_child(|| {
            let before = call();
            drop(own.take());
            let mine = emit();
            // SAFETY: as before.
            let called = unsafe { mine.as_fn::<extern "C" fn() -> u64>() }();
            i32::from(!(before == call() && called == mine.address() && called != before))
        });
        assert_eq!(outcome, Some(0));
        assert_eq!(ours().kind_stats(Kind::Text).live, 1);
        let called = call();
        assert_eq!(own.map(|own| own.address()), Some(called));
    });
}
