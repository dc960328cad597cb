//! Processes that lock themselves in after set-up: growth works, falls back, or is refused, and nothing else happens.

use execmem::{BackendError, Describe as _, Error, kinds::Data, kinds::RoData, kinds::Text};
use execmem_linux::{Linux, Options, Publish, SetupError};

use super::code::{byte_at, constant, engine, engine_of, install, run, ways};
use super::confine::filter::{self, Verdict, When, allow_only};
use super::confine::{enter_empty_root, forbid_large_pages, forget_everything, hide_proc, refuse_to_make_executable};
use super::process::{in_a_process, in_child};

skip::tests! {
    where_memory_files_are_forbidden_later_the_kernel_writes
    a_limit_of_file_sizes_that_comes_later_is_an_error_or_makes_the_kernel_write
    where_memory_is_not_mapped_once_more_units_come_and_go
    prepared_code_comes_and_goes_without_a_system_call
    prepared_code_is_part_of_the_window
    growth_in_an_empty_root_without_proc_works_or_says_so
    set_up_without_proc_works_but_for_what_needs_it
    without_random_numbers_of_the_system_places_still_differ
    a_process_that_gives_up_making_memory_executable_goes_on
    a_process_without_large_pages_has_small_ones
    code_survives_when_the_kernel_is_told_that_nothing_is_needed
}

/// Functions in a second unit, which has to be made now.
fn grow(engine: &execmem::Engine<Linux>) -> Result<(), Error> {
    let mut draft = engine.alloc::<Text>(3 << 20)?;
    engine.write(&mut draft, 2 << 20, &constant(7, 64))?;
    let live = engine.publish(draft).expect("memory");
    assert_eq!(super::code::run_at(live.address() + (2 << 20)), 7);
    engine.free(live).expect("ours");
    Ok(())
}

fn where_memory_files_are_forbidden_later_the_kernel_writes() {
    in_a_process("sandbox::where_memory_files_are_forbidden_later_the_kernel_writes", || {
        let best = engine(Publish::Best);
        let strict = engine(Publish::Poke);
        let (kept, other) = (install(&best, 42, 64), install(&strict, 43, 64));
        assert_eq!(best.facts().publish_at(kept.address()), Some(Publish::Poke));
        filter::deny(libc::SYS_memfd_create, When::Always, Verdict::Error(libc::EPERM));
        let large = install(&best, 7, 3 << 20);
        assert_eq!((run(&large), run(&kept)), (7, 42));
        assert_eq!(best.facts().publish_at(large.address() + (2 << 20)), Some(Publish::ProcMem));
        assert_eq!(best.facts().publish(), Publish::Poke, "what the window began with");
        best.patch_unexecuted(&large, 0, &constant(8, 0)).expect("published");
        assert_eq!(run(&large), 8);
        best.free(large).expect("ours");
        best.audit_unused().expect("freed text traps");
        let error = grow(&strict).expect_err("no memory file");
        let source = BackendError::System { errno: libc::EPERM };
        assert!(matches!(error, Error::Backend { source: found, .. } if found == source), "{error}");
        assert_eq!((run(&other), run(&kept)), (43, 42));
        strict.audit().expect("audit");
    });
}

fn a_limit_of_file_sizes_that_comes_later_is_an_error_or_makes_the_kernel_write() {
    in_a_process("sandbox::a_limit_of_file_sizes_that_comes_later_is_an_error_or_makes_the_kernel_write", || {
        let (best, strict) = (engine(Publish::Best), engine(Publish::Poke));
        let (kept, other) = (install(&best, 42, 64), install(&strict, 43, 64));
        super::limits::limit(rustix::process::Resource::Fsize, 1 << 20);
        grow(&best).expect("the kernel writes");
        let error = grow(&strict).expect_err("no file is long enough");
        let source = BackendError::FileSizeLimit { bytes: 2 << 20 };
        assert!(matches!(error, Error::Backend { source: found, .. } if found == source), "{error}");
        assert!(error.to_string().contains("RLIMIT_FSIZE"));
        assert_eq!((run(&kept), run(&other)), (42, 43));
    });
}

/// What emulators refuse: `mremap` with an old size of zero.
fn where_memory_is_not_mapped_once_more_units_come_and_go() {
    in_a_process("sandbox::where_memory_is_not_mapped_once_more_units_come_and_go", || {
        filter::deny(libc::SYS_mremap, When::Zero(1), Verdict::Error(libc::EINVAL));
        // In a small window all kinds share a unit; with data in it, constants and code have files of their own there.
        let engine = engine_of(&Options::default().publish(Publish::Poke).window(2 << 20));
        let constants = |byte| {
            let mut draft = engine.alloc::<RoData>(64).expect("room");
            engine.write(&mut draft, 0, &[byte; 64]).expect("a draft");
            engine.publish(draft).expect("memory")
        };
        for round in 0..3 {
            let data = engine.alloc::<Data>(64).expect("room");
            let (first, function) = (constants(round), install(&engine, 42, 64));
            let second = constants(round + 1);
            assert_eq!(engine.facts().publish_at(function.address()), Some(Publish::Poke));
            let last_byte = |constants: &execmem::Live<RoData>| byte_at(constants.address() + 63);
            assert_eq!((last_byte(&first), last_byte(&second), run(&function)), (round, round + 1, 42));
            engine.free(function).expect("ours");
            engine.free(first).expect("ours");
            engine.free(second).expect("ours");
            engine.free(data).expect("ours");
            assert!(engine.shrink() > 0);
            engine.audit().expect("audit");
            assert_eq!((engine.stats().bytes_mapped(), engine.facts().waiting_bytes()), (0, 0));
        }
    });
}

/// The child of a program that a filter kills ends by a signal; one that goes on returns 0.
fn prepared_code_comes_and_goes_without_a_system_call() {
    in_a_process("sandbox::prepared_code_comes_and_goes_without_a_system_call", || {
        let outcome = in_child(|| {
            let engine = engine_of(&Options::default().publish(Publish::Poke).prepare(8 << 20));
            // The heap of the test is not what this is about: it has room for short vectors.
            let long = |value| {
                let mut draft = engine.alloc::<Text>(300_000).expect("room");
                engine.write(&mut draft, 0, &constant(value, 64)).expect("a draft");
                engine.publish(draft).expect("memory")
            };
            let cycle = || {
                let functions: [_; 20] = std::array::from_fn(|value| long(u32::try_from(value).unwrap_or(0)));
                let are_right = functions.iter().zip(0..).all(|(function, value)| run(function) == value);
                functions.into_iter().for_each(|function| drop(engine.free(function)));
                are_right && engine.shrink() > 0
            };
            // Once before, so that the books have their memory.
            let before = cycle();
            allow_only(&[libc::SYS_exit_group]);
            let after = (0..10).all(|_| cycle());
            // Giving the window up would be a call.
            std::mem::forget(engine);
            i32::from(!(before && after))
        });
        assert_eq!(outcome, Some(0));
        let outcome = in_child(|| {
            let engine = engine(Publish::Poke);
            let first = install(&engine, 1, 64);
            allow_only(&[libc::SYS_exit_group]);
            // In what is there already nothing is called either.
            let right = (0..1000).all(|value| {
                let function = install(&engine, value, 64);
                let right = run(&function) == value;
                drop(engine.free(function));
                right
            });
            std::mem::forget((first, engine));
            i32::from(!right)
        });
        assert_eq!(outcome, Some(0));
        let killed = in_child(|| {
            let engine = engine(Publish::Poke);
            allow_only(&[libc::SYS_exit_group]);
            let outcome = grow(&engine);
            std::mem::forget(engine);
            i32::from(outcome.is_err())
        });
        assert_eq!(killed, None, "growth that was not prepared is seen by the filter");
    });
}

fn prepared_code_is_part_of_the_window() {
    for publish in ways() {
        let options = Options::default().publish(publish).window(32 << 20);
        if publish == Publish::Flip {
            let why = Linux::reserve(&options.prepare(1)).expect_err("its rights have to change");
            assert_eq!(why, SetupError::NotPreparable);
            continue;
        }
        let engine = engine_of(&options.prepare(3 << 20));
        let (text, _) = super::code::text_bytes(&engine);
        assert_eq!(text, 4 << 20, "rounded up, and executable before it is used");
        let functions: Vec<_> = (0..8).map(|value| install(&engine, value, 1 << 20)).collect();
        assert!(functions.iter().zip(0..).all(|(function, value)| run(function) == value));
        functions.into_iter().for_each(|function| engine.free(function).expect("ours"));
        engine.audit_unused().expect("freed text traps");
        engine.shrink();
        assert_eq!(super::code::text_bytes(&engine).0, 4 << 20, "what was prepared stays, and no more");
        let data = engine.alloc::<Data>(64).expect("room");
        engine.free(data).expect("ours");
        let why = Linux::reserve(&options.prepare(64 << 20)).expect_err("more than the window");
        assert_eq!(why, SetupError::TooMuchPrepared { bytes: 64 << 20, window: 32 << 20 });
    }
}

fn growth_in_an_empty_root_without_proc_works_or_says_so() {
    in_a_process("sandbox::growth_in_an_empty_root_without_proc_works_or_says_so", || {
        let engines: Vec<_> = ways().map(|publish| (publish, engine(publish))).collect();
        let kept: Vec<_> = engines.iter().map(|(_, engine)| install(engine, 42, 64)).collect();
        if !enter_empty_root() {
            return;
        }
        for ((publish, engine), kept) in engines.iter().zip(&kept) {
            match (publish, grow(engine)) {
                (Publish::Poke | Publish::Flip, Ok(())) => {}
                (
                    Publish::ProcMem,
                    Err(Error::Backend { source: BackendError::System { errno: libc::ENOENT }, .. }),
                ) => {}
                other => panic!("{other:?}"),
            }
            assert_eq!(run(kept), 42);
            engine.audit().expect("audit");
        }
    });
}

fn set_up_without_proc_works_but_for_what_needs_it() {
    in_a_process("sandbox::set_up_without_proc_works_but_for_what_needs_it", || {
        if !hide_proc() {
            return;
        }
        for publish in [Publish::Best, Publish::Poke, Publish::Flip] {
            let engine = engine(publish);
            assert!(engine.facts().anchor().is_some(), "near the program");
            assert_eq!(run(&install(&engine, 42, 64)), 42);
            grow(&engine).expect("growth");
        }
        let error = Linux::reserve(&Options::default().publish(Publish::ProcMem)).expect_err("no file");
        assert_eq!(error, SetupError::NoProcMem { errno: libc::ENOENT });
    });
}

fn without_random_numbers_of_the_system_places_still_differ() {
    in_a_process("sandbox::without_random_numbers_of_the_system_places_still_differ", || {
        filter::deny(libc::SYS_getrandom, When::Always, Verdict::Error(libc::ENOSYS));
        let starts: std::collections::BTreeSet<_> = (0..8)
            .map(|_| Linux::reserve(&Options::default().window(2 << 20)).expect("room").facts().window().start())
            .collect();
        assert!(starts.len() > 5, "{starts:x?}");
    });
}

fn a_process_that_gives_up_making_memory_executable_goes_on() {
    in_a_process("sandbox::a_process_that_gives_up_making_memory_executable_goes_on", || {
        let engine = engine(Publish::Poke);
        let kept = install(&engine, 42, 64);
        let others: Vec<_> = ways().filter(|way| *way != Publish::Poke).map(super::code::engine).collect();
        let theirs: Vec<_> = others.iter().map(|other| install(other, 43, 64)).collect();
        // A kernel before 6.3 has nothing to test.
        if !refuse_to_make_executable() {
            return;
        }
        for (other, function) in others.iter().zip(&theirs) {
            let failed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| grow(other)));
            assert!(!matches!(failed, Ok(Ok(()))), "memory that was writable never becomes executable");
            assert_eq!(run(function), 43);
        }
        // The first unit grows, up to a large page, and then others are made.
        let functions: Vec<_> = (0..300).map(|value| install(&engine, value, 10_000)).collect();
        assert!(functions.iter().zip(0..).all(|(function, value)| run(function) == value));
        grow(&engine).expect("growth");
        let (text, large) = super::code::text_bytes(&engine);
        assert!(text == large && text >= 4 << 20, "{text} bytes of text, {large} of them in large pages");
        assert_eq!(run(&kept), 42);
    });
}

fn a_process_without_large_pages_has_small_ones() {
    in_a_process("sandbox::a_process_without_large_pages_has_small_ones", || {
        if !forbid_large_pages() {
            return;
        }
        for publish in ways() {
            let engine = engine(publish);
            let functions: Vec<_> = (0..600).map(|value| install(&engine, value, 10_000)).collect();
            assert!(functions.iter().zip(0..).all(|(function, value)| run(function) == value));
            let data = engine.alloc::<Data>(5 << 20).expect("room");
            engine.free(data).expect("ours");
            functions.into_iter().for_each(|function| engine.free(function).expect("ours"));
            engine.audit_unused().expect("freed text traps");
        }
    });
}

/// Code and constants are in files, so that what a program tells the kernel it needs no more comes back.
fn code_survives_when_the_kernel_is_told_that_nothing_is_needed() {
    in_a_process("sandbox::code_survives_when_the_kernel_is_told_that_nothing_is_needed", || {
        let engine = engine(Publish::Poke);
        let functions: Vec<_> = (0..100).map(|value| install(&engine, value, 1000)).collect();
        forget_everything(engine.facts().window());
        assert!(functions.iter().zip(0..).all(|(function, value)| run(function) == value));
        let again = install(&engine, 7, 64);
        assert_eq!(run(&again), 7);
    });
}
