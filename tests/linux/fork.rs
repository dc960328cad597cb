//! What a child process may do with the parent's code and data, and what is left when a process ends or becomes another.

use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use execmem::{BackendError, Engine, Error, Kind, Live, Request, kinds::Data, kinds::Text};
use execmem_linux::{DataSource, Linux, Options, Publish, proc};
use rustix::process::{Signal, getpid, kill_process};

use super::code::{byte_at, constant, engine, engine_of, install, run, store_byte, ways};
use super::process::{
    Rights, change_rights, in_a_process, in_child, in_cloned_child, memory_descriptors, needs_secret_memory,
};

skip::tests! {
    a_child_executes_existing_code_and_every_operation_is_refused
    a_child_gets_its_handles_back
    a_child_of_a_patching_parent_sees_the_patch
    a_child_cannot_change_the_parents_code_or_data
    an_owner_that_is_dropped_in_a_child_does_nothing
    reservations_and_groups_stay_as_they_are_in_a_child
    a_child_has_memory_of_its_own_if_it_makes_some
    forks_beside_threads_at_work_neither_hang_nor_change_anything
    a_child_never_gets_a_descriptor_that_is_open_for_a_moment
    secret_data_is_not_in_a_child
    a_program_that_is_executed_inherits_nothing
    a_killed_process_leaves_no_memory_behind
}

/// Whether an operation was refused since this is a forked child.
pub(crate) fn is_forked(error: &Error) -> bool {
    matches!(error, Error::Backend { source: BackendError::Forked, .. })
}

/// Whether every operation is refused here, and what takes no lock works.
fn is_refused(engine: &Engine<Linux>, function: &Live<Text>) -> bool {
    let patch = engine.patch_unexecuted(function, 0, &constant(7, 0)).is_err_and(|error| is_forked(&error));
    let alloc = engine.alloc::<Text>(64).is_err_and(|error| is_forked(&error));
    let data = engine.alloc::<Data>(64).is_err_and(|error| is_forked(&error));
    let read = engine.read(function, 0, &mut [0]).is_err_and(|error| is_forked(&error));
    let found = engine.find(function.address()).is_some_and(|found| found.extent == function.extent());
    patch && alloc && data && read && found && engine.shrink() == 0 && engine.stats().bytes_mapped() == 0
}

fn a_child_executes_existing_code_and_every_operation_is_refused() {
    // Alone: after the bare system call, locks of the C library that other threads held stay locked.
    in_a_process("fork::a_child_executes_existing_code_and_every_operation_is_refused", || {
        for publish in ways() {
            let engine = engine(publish);
            let function = install(&engine, 42, 64);
            let in_the_child = || i32::from(!(run(&function) == 42 && is_refused(&engine, &function)));
            assert_eq!(in_child(in_the_child), Some(0), "{publish:?}");
            // By a system call that no handler of the C library knows of.
            assert_eq!(in_cloned_child(in_the_child), Some(0), "{publish:?}");
            assert_eq!(run(&function), 42);
            let second = install(&engine, 43, 64);
            assert_eq!(run(&second), 43);
            engine.free(function).expect("ours");
            engine.free(second).expect("ours");
            engine.audit_unused().expect("the child touched nothing");
        }
    });
}

fn a_child_gets_its_handles_back() {
    in_a_process("fork::a_child_gets_its_handles_back", || {
        for publish in ways() {
            let engine = engine(publish);
            let mut function = Some(install(&engine, 42, 64));
            let failures = in_child(|| {
                let failed = engine.free(function.take().expect("a function")).expect_err("not here");
                i32::from(!(is_forked(&failed.error) && run(&failed.handle) == 42))
            });
            assert_eq!(failures, Some(0));
            engine.free(function.expect("the parent's")).expect("ours");
        }
    });
}

fn a_child_of_a_patching_parent_sees_the_patch() {
    let engine = engine(Publish::Poke);
    let function = install(&engine, 1, 64);
    engine.patch_unexecuted(&function, 0, &constant(2, 0)).expect("published");
    assert_eq!(in_child(|| i32::from(run(&function) != 2)), Some(0));
    engine.free(function).expect("ours");
}

fn a_child_cannot_change_the_parents_code_or_data() {
    in_a_process("fork::a_child_cannot_change_the_parents_code_or_data", || {
        for publish in ways() {
            let engine = engine(publish);
            let function = install(&engine, 42, 64);
            let data = engine.publish(engine.alloc::<Data>(64).expect("room")).expect("memory");
            store_byte(data.address(), 1);
            let outcome = in_child(|| {
                let areas = proc::mappings().expect("proc");
                let has_view = areas.iter().any(|area| area.is_writable && area.name.starts_with("/memfd:"));
                if memory_descriptors() > 0 || has_view {
                    return 1;
                }
                let page = engine.table().machine().page().round_down(function.address());
                match (change_rights(page, Rights::Write), publish) {
                    // There is nothing that it could make writable, not even in a copy of its own.
                    (outcome, Publish::Poke) => assert_eq!(outcome, Err(libc::EACCES)),
                    (outcome, _) => {
                        outcome.expect("its own copy");
                        store_byte(function.address() + 1, 7);
                        change_rights(page, Rights::Execute).expect("its own copy");
                        assert_eq!(run(&function), 7);
                    }
                }
                // Data is its own, as all data of a child is.
                assert_eq!(byte_at(data.address()), 1);
                store_byte(data.address(), 9);
                i32::from(byte_at(data.address()) != 9)
            });
            assert_eq!(outcome, Some(0), "{publish:?}");
            assert_eq!((run(&function), byte_at(data.address())), (42, 1), "{publish:?}");
            engine.free(data).expect("ours");
            engine.free(function).expect("ours");
        }
    });
}

fn an_owner_that_is_dropped_in_a_child_does_nothing() {
    in_a_process("fork::an_owner_that_is_dropped_in_a_child_does_nothing", || {
        for publish in ways() {
            let mut engine = Some(engine(publish));
            let function = install(engine.as_ref().expect("an engine"), 42, 64);
            let failures = in_child(|| {
                let before = proc::mappings().expect("proc").len();
                engine.take();
                let after = proc::mappings().expect("proc").len();
                i32::from(!(run(&function) == 42 && after >= before))
            });
            assert_eq!(failures, Some(0));
            assert_eq!(run(&function), 42);
            engine.expect("the parent's").free(function).expect("ours");
        }
    });
}

fn reservations_and_groups_stay_as_they_are_in_a_child() {
    in_a_process("fork::reservations_and_groups_stay_as_they_are_in_a_child", || {
        for publish in ways() {
            let engine = engine(publish);
            let mut reserved = Some(engine.reserve(&Request::new(Kind::Text, 5_000), 20).expect("memory"));
            let mut group: Vec<_> = (0..20).map(|value| install(&engine, value, 64)).collect();
            let failures = in_child(|| {
                let left = reserved.as_mut().expect("the parent's");
                let mut half: Vec<_> = std::iter::from_fn(|| left.take()).take(10).collect();
                let drafts = engine.free_group(&mut half).is_err_and(|error| is_forked(&error)) && half.len() == 10;
                let functions =
                    engine.free_group(&mut group).is_err_and(|error| is_forked(&error)) && group.len() == 20;
                let more = engine.reserve(&Request::new(Kind::Text, 64), 2).is_err_and(|error| is_forked(&error));
                let refused = engine
                    .publish_group(half)
                    .is_err_and(|failed| is_forked(&failed.error) && failed.handle.len() == 10);
                drop(reserved.take());
                i32::from(!(drafts && functions && more && refused && group.iter().any(|function| run(function) == 7)))
            });
            assert_eq!(failures, Some(0), "{publish:?}");
            engine.free_group(&mut reserved.take().expect("the parent's").into_drafts()).expect("ours");
            engine.free_group(&mut group).expect("ours");
            engine.audit_unused().expect("the child touched nothing");
        }
    });
}

fn a_child_has_memory_of_its_own_if_it_makes_some() {
    in_a_process("fork::a_child_has_memory_of_its_own_if_it_makes_some", || {
        for publish in ways() {
            let theirs = engine(publish);
            let function = install(&theirs, 42, 64);
            let failures = in_child(|| {
                let own = engine(publish);
                let second = install(&own, 7, 64);
                let grandchild = in_child(|| i32::from(!(run(&second) == 7 && is_refused(&own, &second))));
                own.patch_unexecuted(&second, 0, &constant(8, 0)).expect("its own");
                let right = run(&second) == 8 && run(&function) == 42 && grandchild == Some(0);
                own.free(second).expect("its own");
                i32::from(!right)
            });
            assert_eq!(failures, Some(0), "{publish:?}");
            theirs.free(function).expect("ours");
        }
    });
}

/// A child that cannot be waited for is killed by this signal after some seconds.
pub(crate) fn end_soon() {
    // SAFETY: alarm(2) takes no pointers.
    unsafe { libc::alarm(20) };
}

/// Tells threads that they should end, at the latest when a failed assertion unwinds past it.
pub(crate) struct Over<'b>(pub(crate) &'b AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn forks_beside_threads_at_work_neither_hang_nor_change_anything() {
    let name = "fork::forks_beside_threads_at_work_neither_hang_nor_change_anything";
    in_a_process(name, || ways().for_each(fork_beside_threads));
}

fn fork_beside_threads(publish: Publish) {
    const FORKS: usize = 1_000;
    let engine = engine_of(&Options::default().publish(publish).window(64 << 20));
    let function = install(&engine, 42, 64);
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let _over = Over(&is_over);
        for thread in 0..4_usize {
            let (engine, is_over) = (&engine, &is_over);
            scope.spawn(move || {
                for round in (0_usize..).take_while(|_| !is_over.load(Ordering::Relaxed)) {
                    let own = install(engine, 7, 64 + (thread + round) % 50 * 1000);
                    assert_eq!(run(&own), 7);
                    engine.free(own).expect("ours");
                    if round.is_multiple_of(64) {
                        engine.shrink();
                    }
                }
            });
        }
        for _ in 0..FORKS {
            let outcome = in_child(|| {
                end_soon();
                i32::from(!(memory_descriptors() == 0 && run(&function) == 42 && is_refused(&engine, &function)))
            });
            assert_eq!(outcome, Some(0), "{publish:?}");
        }
    });
    assert_eq!(run(&function), 42);
    engine.free(function).expect("ours");
    engine.audit().expect("audit");
}

fn a_child_never_gets_a_descriptor_that_is_open_for_a_moment() {
    let name = "fork::a_child_never_gets_a_descriptor_that_is_open_for_a_moment";
    in_a_process(name, || {
        let is_over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let _over = Over(&is_over);
            scope.spawn(|| {
                let engine = engine(Publish::Poke);
                let mut made = 0;
                while !is_over.load(Ordering::Relaxed) {
                    let function = install(&engine, 1, 64);
                    engine.free(function).expect("ours");
                    made += usize::from(engine.shrink() > 0);
                }
                assert!(made > 400, "only {made} units were made meanwhile");
            });
            for _ in 0..400 {
                let seen = in_child(|| i32::try_from(memory_descriptors()).unwrap_or(99));
                assert_eq!(seen, Some(0));
            }
        });
    });
}

fn secret_data_is_not_in_a_child() {
    needs_secret_memory();
    for publish in ways() {
        let engine = engine_of(&Options::default().publish(publish).data(DataSource::Secret));
        let data = engine.publish(engine.alloc::<Data>(64).expect("room")).expect("memory");
        store_byte(data.address(), 1);
        assert_eq!(in_child(|| i32::from(byte_at(data.address()))), None, "the access ends the child");
        assert_eq!(byte_at(data.address()), 1);
        engine.free(data).expect("ours");
    }
}

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
        let mut text = engine.alloc::<Text>(BYTES).expect("room");
        for page in (0..BYTES).step_by(4096) {
            engine.write(&mut text, page, b"x").expect("a draft");
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
