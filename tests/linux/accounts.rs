//! What the kernel counts and writes down: core dumps, locked memory, addresses, names of mappings.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use execmem::{Describe as _, Engine, kinds::Data, kinds::Text};
use execmem_linux::{Linux, Options, Place, Publish, SetupError, proc};
use rustix::process::{Resource, Rlimit, setrlimit};

use super::code::{constant, engine, engine_of, install, run, ways};
use super::confine::{become_nobody, lock_all, occupy_around, stay_visible};
use super::process::{in_a_process, in_child};

skip::tests! {
    a_core_dump_has_what_is_live_and_little_more
    locking_all_memory_makes_resident_what_is_live
    set_up_after_all_memory_was_locked_takes_little
    a_limit_of_locked_memory_makes_the_window_smaller_once_all_is_locked
    what_is_printed_tells_nothing_about_writable_views
    where_nothing_is_free_near_the_program_code_says_that_it_is_far
}

/// The core file that a process leaves which ends by a signal.
struct Core {
    len: u64,
    on_disk: u64,
    has_code: bool,
}

/// The function whose bytes are looked for in core files, and the traps behind it.
fn function_in_core() -> Vec<u8> {
    let mut code = constant(std::hint::black_box(0x7d5b_1df0) ^ 0x0f0f_0f0f, 6);
    code.resize(64, 0xcc);
    code
}

/// Runs a body in a child that aborts behind it. Nothing of it stays in this process, where the next child would have it.
fn dump_core(folder: &Path, body: impl FnOnce()) -> Core {
    std::fs::create_dir_all(folder).expect("a folder");
    let ended = in_child(|| {
        std::env::set_current_dir(folder).expect("the folder");
        setrlimit(Resource::Core, Rlimit { current: None, maximum: None }).expect("no limit");
        body();
        std::process::abort();
    });
    assert_eq!(ended, None, "aborted");
    let file = std::fs::read_dir(folder).expect("the folder").flatten().map(|entry| entry.path()).next();
    let file = file.expect("a core file");
    let facts = file.metadata().expect("a file");
    let (len, on_disk) = (facts.len(), facts.blocks() * 512);
    let content = std::fs::read(&file).expect("a file");
    let code = function_in_core();
    let has_code = content.windows(code.len()).any(|bytes| bytes == code);
    std::fs::remove_dir_all(folder).expect("the folder");
    Core { len, on_disk, has_code }
}

fn a_core_dump_has_what_is_live_and_little_more() {
    in_a_process("accounts::a_core_dump_has_what_is_live_and_little_more", || {
        const ADDED_MOST: u64 = 4 << 20;
        let pattern = std::fs::read_to_string("/proc/sys/kernel/core_pattern").expect("proc");
        if pattern.starts_with(['|', '/']) {
            return; // It goes somewhere else.
        }
        let folder = std::env::temp_dir().join(format!("execmem-core-{}", std::process::id()));
        let without = dump_core(&folder, || ());
        assert!(!without.has_code);
        for publish in ways() {
            let with = dump_core(&folder, || {
                // What is dumped of the reserved pool is a matter of its own (core(5), `coredump_filter`).
                let engine = engine_of(&Options::default().publish(publish).without_reserved_pages());
                let mut draft = engine.alloc::<Text>(64).expect("room");
                engine.write(&mut draft, 0, &function_in_core()).expect("a draft");
                std::mem::forget((engine.publish(draft).expect("memory"), engine));
            });
            let (added, on_disk) = (with.len.saturating_sub(without.len), with.on_disk.saturating_sub(without.on_disk));
            assert!(added < ADDED_MOST && on_disk < ADDED_MOST, "{publish:?}: {added} more, {on_disk} on disk");
            assert!(with.has_code, "{publish:?}: a debugger wants to see the code");
        }
    });
}

/// Bytes of memory of this process.
fn resident() -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").expect("proc");
    let line = text.lines().find(|line| line.starts_with("VmRSS:")).expect("a line");
    line.split_ascii_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).expect("a number") << 10
}

fn locking_all_memory_makes_resident_what_is_live() {
    const ADDED_MOST: u64 = 16 << 20;
    in_a_process("accounts::locking_all_memory_makes_resident_what_is_live", || {
        for publish in ways() {
            let outcome = in_child(|| {
                let engine = engine(publish);
                let function = install(&engine, 42, 64);
                let data = engine.alloc::<Data>(64).expect("room");
                // What the test program has by itself is not what this is about.
                let own = resident();
                let before = proc::areas().expect("proc");
                assert!(lock_all(libc::MCL_CURRENT | libc::MCL_FUTURE), "the superuser may");
                let ours = |areas: &[proc::Area]| {
                    let window = engine.facts().window();
                    let is_ours = |area: &&proc::Area| {
                        area.extent.overlaps(window) || area.name.starts_with("/memfd:") || area.name.contains("zero")
                    };
                    areas.iter().filter(is_ours).map(|area| area.resident_bytes).sum::<u64>()
                };
                let locked = ours(&proc::areas().expect("proc"));
                assert!(locked < ADDED_MOST, "{publish:?}: {locked} bytes locked, {} before", ours(&before));
                // And growth afterwards: no more than the unit that is made.
                let large = install(&engine, 7, 3 << 20);
                assert_eq!((run(&function), run(&large)), (42, 7));
                let grown = ours(&proc::areas().expect("proc")) - locked;
                assert!(grown < ADDED_MOST, "{publish:?}: {grown} bytes for 3 MiB");
                assert!(own > 0);
                engine.free(large).expect("ours");
                engine.free(data).expect("ours");
                engine.free(function).expect("ours");
                engine.shrink();
                0
            });
            assert_eq!(outcome, Some(0), "{publish:?}");
        }
    });
}

fn set_up_after_all_memory_was_locked_takes_little() {
    in_a_process("accounts::set_up_after_all_memory_was_locked_takes_little", || {
        assert!(lock_all(libc::MCL_FUTURE), "the superuser may");
        for publish in ways() {
            let before = resident();
            let engine = engine(publish);
            assert_eq!(run(&install(&engine, 42, 64)), 42);
            let added = resident().saturating_sub(before);
            assert!(added < 8 << 20, "{publish:?}: {added} bytes");
        }
    });
}

fn a_limit_of_locked_memory_makes_the_window_smaller_once_all_is_locked() {
    in_a_process("accounts::a_limit_of_locked_memory_makes_the_window_smaller_once_all_is_locked", || {
        super::limits::limit(Resource::Memlock, 8 << 20);
        become_nobody();
        stay_visible();
        assert!(lock_all(libc::MCL_FUTURE), "what comes is locked, as far as the limit goes");
        for publish in ways() {
            let linux = Linux::reserve(&Options::default().publish(publish)).expect("a smaller window");
            let why = linux.facts().narrowed();
            assert!(matches!(why, Some(SetupError::NoAddresses { errno: libc::EAGAIN, .. })), "{why:?}");
            assert!(linux.facts().window().len() <= 4 << 20);
            let engine = Engine::new(linux.table().expect("a table"), linux).expect("memory");
            assert_eq!(run(&install(&engine, 42, 64)), 42);
        }
    });
}

/// All numbers that lie in writable views.
fn writable_views() -> Vec<String> {
    let areas = proc::mappings().expect("proc");
    let views = areas.iter().filter(|area| area.is_writable && area.name.starts_with("/memfd:"));
    views.map(|area| format!("{:x}", area.extent.start() >> 21)).collect()
}

fn what_is_printed_tells_nothing_about_writable_views() {
    in_a_process("accounts::what_is_printed_tells_nothing_about_writable_views", || {
        let engine = engine(Publish::Poke);
        let function = install(&engine, 42, 64);
        let failed = install(&super::code::engine(Publish::Flip), 1, 64);
        let error = engine.free(failed).expect_err("another engine's");
        let views = writable_views();
        assert!(!views.is_empty());
        let printed =
            format!("{engine:?} {engine:#?} {:?} {function:?} {error:?} {:?}", engine.facts(), engine.stats());
        let areas = proc::mappings().expect("proc");
        let home = areas.iter().find(|area| area.extent.contains(function.address())).expect("mapped");
        for view in views {
            // Numbers of 2 MiB that differ from those of the window.
            let shown = printed.contains(&view) && !format!("{:x}", home.extent.start() >> 21).contains(&view);
            assert!(!shown, "{view} in {printed}");
        }
        let names: std::collections::BTreeSet<_> =
            areas.iter().filter(|area| area.name.starts_with("/memfd:")).map(|area| area.name.as_str()).collect();
        assert_eq!(names.into_iter().collect::<Vec<_>>(), ["/memfd: (deleted)"], "the same for all views");
    });
}

fn where_nothing_is_free_near_the_program_code_says_that_it_is_far() {
    in_a_process("accounts::where_nothing_is_free_near_the_program_code_says_that_it_is_far", || {
        let near = engine(Publish::Poke);
        let close = near.alloc::<Text>(64).expect("room");
        assert!(!close.is_far() && near.facts().anchor().is_some());
        let program = near.table().machine().anchor.expect("a program");
        near.free(close).expect("ours");
        drop(near);
        let occupied = occupy_around(program);
        for publish in ways() {
            let engine = engine(publish);
            assert_eq!(engine.facts().anchor(), None, "{publish:?}");
            let function = install(&engine, 42, 64);
            assert!(function.is_far() && run(&function) == 42, "{publish:?}");
            assert_eq!(engine.table().machine().anchor, Some(program), "from which it is far");
            engine.free(function).expect("ours");
        }
        let anywhere = engine_of(&Options::default().place(Place::Anywhere));
        let function = install(&anywhere, 42, 64);
        assert!(!function.is_far(), "where no nearness was asked for");
        let wish = Options::default().place(Place::Near(program));
        let error = Linux::reserve(&wish).expect_err("no room");
        assert!(matches!(error, SetupError::NoRoomNear { .. }), "{error}");
        drop(occupied);
        // As little room as there is for a short window.
        let some = engine_of(&Options::default().window(2 << 20));
        assert!(some.facts().anchor().is_some());
    });
}
