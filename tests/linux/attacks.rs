//! What a process does to itself at the wrong moment: signals, ends of threads, kills, forks in the middle of an operation.

use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use execmem::{Engine, Kind, Live, kinds::Text};
use execmem_linux::{Linux, Options, Publish};
use rustix::process::{Pid, Signal, kill_process};

use super::code::{constant, engine, engine_of, install, run, ways};
use super::fork::{Over, end_soon};
use super::process::{in_a_process, in_child, memory_descriptors, start_child, wait_for};

skip::tests! {
    signals_at_every_point_of_every_operation_change_nothing
    a_handler_that_looks_addresses_up_interrupts_every_operation_and_finds_what_is_live
    a_thread_that_ends_in_the_middle_leaves_its_memory_to_the_others
    a_thread_that_panics_with_handles_loses_only_what_it_dropped
    children_killed_at_any_point_leave_nothing_and_change_nothing
    forks_while_groups_are_published_and_memory_is_maintained_change_nothing
    addresses_with_tags_or_beyond_the_space_are_found_by_nothing
    a_write_one_byte_past_the_end_changes_nothing_beside_it
}

/// Signals that arrived, and what a handler found wrong.
static SIGNALS: AtomicU64 = AtomicU64::new(0);
static WRONG: AtomicI32 = AtomicI32::new(0);
/// What the handler looks up: an engine, and an address that is live in it for good.
static ENGINE: AtomicU64 = AtomicU64::new(0);
static ADDRESS: AtomicU64 = AtomicU64::new(0);

extern "C" fn count(_: libc::c_int) {
    SIGNALS.fetch_add(1, Ordering::Relaxed);
}

extern "C" fn look_up(_: libc::c_int) {
    SIGNALS.fetch_add(1, Ordering::Relaxed);
    let engine = usize::try_from(ENGINE.load(Ordering::Relaxed)).unwrap_or(0);
    let pointer = std::ptr::with_exposed_provenance::<Engine<Linux>>(engine);
    // SAFETY: the test keeps the engine where it is until the timer is stopped; look-ups take no lock.
    let engine = unsafe { &*pointer };
    let address = ADDRESS.load(Ordering::Relaxed);
    if engine.find(address).is_none_or(|found| found.kind != Kind::Text) {
        WRONG.fetch_add(1, Ordering::Relaxed);
    }
}

/// Has signals interrupt this thread, and system calls in it (no `SA_RESTART`), while a body runs. They are sent to this thread
/// alone, so none is on its way when the body has ended.
fn in_a_storm(handler: extern "C" fn(libc::c_int), body: impl FnOnce()) {
    // SAFETY: all zeroes is a mask of no signals and no flags.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = handler as *const () as usize;
    // SAFETY: the handlers use atomics and look-ups that take no lock.
    let outcome = unsafe { libc::sigaction(libc::SIGUSR2, &raw const action, std::ptr::null_mut()) };
    assert_eq!(outcome, 0);
    // SAFETY: takes nothing and cannot fail.
    let thread = unsafe { libc::pthread_self() };
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let _over = Over(&is_over);
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                // SAFETY: that thread waits for this one before it ends.
                unsafe { libc::pthread_kill(thread, libc::SIGUSR2) };
                std::thread::sleep(Duration::from_micros(50));
            }
        });
        body();
    });
}

/// Every operation again and again: growth, publishing, patches, freeing, giving back.
fn operate(engine: &Engine<Linux>, until: impl Fn() -> bool) {
    for round in 0_usize.. {
        let functions: Vec<Live<Text>> =
            (0..8).map(|index| install(engine, 7, 64 + (round + index) % 40 * 3000)).collect();
        engine.patch_unexecuted(&functions[0], 0, &constant(8, 0)).expect("published");
        assert_eq!((run(&functions[0]), run(&functions[7])), (8, 7));
        functions.into_iter().for_each(|function| engine.free(function).expect("ours"));
        engine.shrink();
        if until() {
            return;
        }
    }
}

fn with_storm(name: &str, handler: extern "C" fn(libc::c_int)) {
    in_a_process(name, || {
        for publish in ways() {
            let engine = engine_of(&Options::default().publish(publish).window(64 << 20));
            let kept = install(&engine, 42, 64);
            ENGINE.store((&raw const engine).expose_provenance() as u64, Ordering::Relaxed);
            ADDRESS.store(kept.address() + 5, Ordering::Relaxed);
            SIGNALS.store(0, Ordering::Relaxed);
            let start = Instant::now();
            in_a_storm(handler, || {
                operate(&engine, || {
                    // Set-up is interrupted too.
                    let second = super::code::engine(publish);
                    let function = install(&second, 5, 64);
                    assert_eq!(run(&function), 5);
                    second.free(function).expect("its own");
                    SIGNALS.load(Ordering::Relaxed) > 2000 || start.elapsed() > Duration::from_secs(20)
                });
            });
            assert!(SIGNALS.load(Ordering::Relaxed) > 100, "no storm");
            assert_eq!((WRONG.load(Ordering::Relaxed), run(&kept)), (0, 42), "{publish:?}");
            engine.free(kept).expect("ours");
            engine.audit().expect("audit");
            engine.audit_unused().expect("freed memory");
        }
    });
}

fn signals_at_every_point_of_every_operation_change_nothing() {
    with_storm("attacks::signals_at_every_point_of_every_operation_change_nothing", count);
}

fn a_handler_that_looks_addresses_up_interrupts_every_operation_and_finds_what_is_live() {
    let name = "attacks::a_handler_that_looks_addresses_up_interrupts_every_operation_and_finds_what_is_live";
    with_storm(name, look_up);
}

fn a_thread_that_ends_in_the_middle_leaves_its_memory_to_the_others() {
    for publish in ways() {
        let engine = engine(publish);
        let mut left = Vec::new();
        for round in 0..40 {
            let ended = std::thread::scope(|scope| {
                let thread = scope.spawn(|| {
                    let draft = engine.alloc::<Text>(64 + round * 500).expect("room");
                    (draft, install(&engine, 9, 64))
                });
                thread.join().expect("a thread")
            });
            left.push(ended);
        }
        for (mut draft, live) in left {
            assert_eq!(run(&live), 9);
            engine.write(&mut draft, 0, &constant(3, 0)).expect("still a draft");
            let published = engine.publish(draft).expect("memory");
            assert_eq!(run(&published), 3);
            engine.free(published).expect("ours");
            engine.free(live).expect("ours");
        }
        engine.shrink();
        engine.audit().expect("audit");
        assert_eq!(engine.stats().bytes_mapped(), 0, "{publish:?}");
    }
}

fn a_thread_that_panics_with_handles_loses_only_what_it_dropped() {
    let engine = engine(Publish::Poke);
    let kept = install(&engine, 42, 64);
    let outcome = std::thread::scope(|scope| {
        let body = || {
            let _lost = install(&engine, 1, 64);
            let _owned = install(&engine, 2, 64).owned_by(&engine).expect("ours");
            std::panic::resume_unwind(Box::new("a thread that ends in the middle"));
        };
        scope.spawn(body).join()
    });
    assert!(outcome.is_err());
    let stats = engine.kind_stats(Kind::Text);
    assert_eq!((stats.live, stats.dropped), (2, 1), "what is owned is freed, what is dropped is counted");
    assert_eq!(run(&kept), 42);
    engine.free(kept).expect("ours");
    engine.audit().expect("audit");
}

fn children_killed_at_any_point_leave_nothing_and_change_nothing() {
    in_a_process("attacks::children_killed_at_any_point_leave_nothing_and_change_nothing", || {
        for publish in ways() {
            let theirs = engine(publish);
            let function = install(&theirs, 42, 64);
            for round in 0..40_u64 {
                let child = start_child(|| {
                    let own = engine(publish);
                    operate(&own, || false);
                    0
                });
                // From before its set-up to far into its work, in steps that no period of it divides.
                std::thread::sleep(Duration::from_micros(round * 137 % 4001));
                kill_process(Pid::from_raw(child).expect("a child"), Signal::KILL).expect("our child");
                assert_eq!(wait_for(child), None, "killed");
                assert_eq!((memory_descriptors(), run(&function)), (0, 42), "{publish:?}");
            }
            theirs.free(function).expect("ours");
            theirs.audit_unused().expect("no child touched anything");
        }
    });
}

fn forks_while_groups_are_published_and_memory_is_maintained_change_nothing() {
    let name = "attacks::forks_while_groups_are_published_and_memory_is_maintained_change_nothing";
    in_a_process(name, || ways().for_each(fork_beside_groups));
}

fn fork_beside_groups(publish: Publish) {
    let engine = engine_of(&Options::default().publish(publish).window(64 << 20)).deferring();
    let kept = install(&engine, 42, 64);
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let _over = Over(&is_over);
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                let mut drafts = Vec::new();
                for index in 0..16 {
                    let code = constant(index, 64);
                    let mut draft = engine.alloc::<Text>(64).expect("room");
                    engine.write(&mut draft, 0, &code).expect("a draft");
                    drafts.push(draft);
                }
                let mut group = engine.publish_group(drafts).expect("memory");
                let values: Vec<_> = group.iter().map(run).collect();
                assert!(values.into_iter().eq(0..16));
                engine.free_group(&mut group).expect("ours");
                // The other thread may have no processor for long.
                if engine.pool_stats(Kind::Text).bytes_withheld > 1 << 20 {
                    engine.maintain();
                }
            }
        });
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                engine.maintain();
            }
        });
        for _ in 0..300 {
            let outcome = in_child(|| {
                end_soon();
                let is_refused = engine.alloc::<Text>(64).is_err() && engine.maintain() == 0;
                i32::from(!(is_refused && memory_descriptors() == 0 && run(&kept) == 42))
            });
            assert_eq!(outcome, Some(0), "{publish:?}");
        }
    });
    engine.free(kept).expect("ours");
    engine.maintain();
    engine.audit().expect("audit");
    engine.audit_unused().expect("all of it is destroyed");
}

fn addresses_with_tags_or_beyond_the_space_are_found_by_nothing() {
    let engine = engine(Publish::Poke);
    let function = install(&engine, 42, 64);
    let address = function.address();
    for bit in 47..64 {
        assert!(engine.find(address ^ 1 << bit).is_none(), "bit {bit} is part of the address");
    }
    for wrong in [0, 1, u64::MAX, u64::MAX - 4095, 1 << 47, (1 << 47) - 1, 0x8000_0000_0000_0000, !address] {
        assert!(engine.find(wrong).is_none(), "{wrong:#x}");
    }
    assert!(engine.find(address).is_some());
    engine.free(function).expect("ours");
}

fn a_write_one_byte_past_the_end_changes_nothing_beside_it() {
    for publish in ways() {
        let engine = engine(publish);
        let [mut first, mut second] = [(); 2].map(|()| engine.alloc::<Text>(64).expect("room"));
        let len = first.extent().len();
        engine.write(&mut second, 0, &constant(42, 0)).expect("a draft");
        let bytes = vec![0x90; usize::try_from(len).expect("small") + 1];
        for (offset, len) in [(0, bytes.len()), (len - 1, 2), (len, 1), (u64::MAX, 1), (u64::MAX - 1, 2), (1 << 63, 1)]
        {
            engine.write(&mut first, offset, &bytes[..len]).expect_err("past the end");
        }
        let second = engine.publish(second).expect("memory");
        let first = engine.publish(first).expect("memory");
        for (offset, len) in [(len - 1, 2), (len, 1), (u64::MAX, 1)] {
            engine.patch_unexecuted(&first, offset, &bytes[..len]).expect_err("past the end");
        }
        assert_eq!(run(&second), 42, "{publish:?}");
        engine.free(first).expect("ours");
        engine.free(second).expect("ours");
        engine.audit_unused().expect("nothing was written anywhere");
    }
}
