//! What a child process may do with the parent's code, and what is left when a process ends or becomes another.

use std::process::Command;
use std::time::{Duration, Instant};

use execmem::{BackendError, Error, Handle as _, kinds::Data, kinds::Text};
use execmem_linux::{DataSource, Options, Publish, proc};
use rustix::process::{Signal, getpid, kill_process};

use crate::code::{constant, engine, engine_of, install, run, ways};
use crate::process::in_child;

#[test]
fn a_child_executes_shared_code_and_changes_nothing() {
    let engine = engine(Publish::Poke);
    let function = install(&engine, 42, 64);
    let failures = in_child(|| {
        let forked = |error| matches!(error, Error::Backend { source: BackendError::Forked, .. });
        let runs = run(&function) == 42;
        let patch = engine.patch(&function, 0, &constant(7, 0)).is_err_and(forked);
        let grow = engine.alloc::<Data>(64).is_err_and(forked);
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

#[test]
fn a_child_cannot_change_the_parent_through_proc_mem() {
    let engine = engine(Publish::ProcMem);
    let function = install(&engine, 42, 64);
    let failures = in_child(|| {
        let is_refused = |error: &Error| matches!(error, Error::Backend { source: BackendError::Forked, .. });
        let patched = engine.patch(&function, 0, &constant(8, 0)).is_err_and(|error| is_refused(&error));
        i32::from(!(patched && run(&function) == 42))
    });
    assert_eq!(failures, Some(0));
    assert_eq!(run(&function), 42);
    engine.free(function).expect("ours");
}

#[test]
fn a_program_that_is_executed_inherits_nothing() {
    for publish in ways() {
        let engine = engine_of(&Options::default().publish(publish).data(DataSource::SecretOrOrdinary));
        let function = install(&engine, 42, 64);
        let data = engine.alloc::<Data>(64).expect("room");
        for (program, arguments) in [("ls", &["-l", "/proc/self/fd"][..]), ("cat", &["/proc/self/maps"])] {
            let output = Command::new(program).args(arguments).output().expect("a program");
            let text = String::from_utf8_lossy(&output.stdout);
            assert!(output.status.success() && text.lines().count() > 3, "{text}");
            assert!(!text.contains("memfd:") && !text.contains("secretmem"), "{text}");
        }
        engine.free(data).expect("ours");
        engine.free(function).expect("ours");
    }
}

#[test]
fn a_killed_process_leaves_no_memory_behind() {
    const BYTES: u64 = 192 << 20;
    let shared = || {
        let text = std::fs::read_to_string("/proc/meminfo").expect("proc");
        let line = text.lines().find(|line| line.starts_with("Shmem:")).expect("a kernel with shared memory");
        line.split_ascii_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).expect("a number") << 10
    };
    let before = shared();
    let status = in_child(|| {
        let engine = engine_of(&Options::default().publish(Publish::Poke).without_reserved_pages());
        let mut data = engine.alloc::<Data>(BYTES).expect("room");
        for page in (0..BYTES).step_by(4096) {
            engine.write(&mut data, page, b"x").expect("a draft");
        }
        if shared() < before + BYTES / 2 {
            return 1;
        }
        kill_process(getpid(), Signal::KILL).expect("its own process");
        2
    });
    assert_eq!(status, None, "killed");
    let start = Instant::now();
    // Other tests have some shared memory too.
    while shared() > before + BYTES / 3 {
        assert!(start.elapsed() < Duration::from_secs(10), "{} bytes more than before", shared() - before);
        std::thread::sleep(Duration::from_millis(20));
    }
}
