//! Where windows land, and what their pages are made of.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use execmem::{Describe as _, Engine, Extent, Kind, PageSize, kinds::Data, kinds::RoAfterInit, kinds::Text};
use execmem_linux::{Backing, DataSource, Linux, Options, Place, Publish, SetupError, proc};

use super::code::{DATA, constant, engine, engine_of, install, run, text_bytes, ways};
use super::process::{in_a_process, needs_secret_memory};

skip::tests! {
    text_is_in_large_pages
    data_of_one_mapping_is_in_large_pages_and_text_is_not
    large_pages_without_the_reserved_pool_are_used_and_come_back
    pages_of_the_reserved_pool_are_used_and_come_back
    every_call_between_window_and_program_reaches
    windows_near_an_address_never_overlap_and_end_in_an_error
    windows_made_at_once_by_many_threads_are_disjoint
    mappings_stay_few_and_are_gone_after_the_window
    sizes_that_are_no_window_are_refused
    inv_04_nothing_is_writable_and_executable
    secret_data_is_hidden_from_the_kernel_and_comes_back
    a_node_is_a_hint
    the_ends_of_a_guarded_window_stay_unmapped
    every_entry_point_has_readable_bytes_before_it
    inv_04_no_transition_makes_memory_writable_and_executable
    inv_04_nobody_ever_sees_memory_writable_and_executable
}

fn text_is_in_large_pages() {
    let engine = engine(Publish::Poke);
    let functions: Vec<_> = (0..2000).map(|i| install(&engine, i, 2000)).collect();
    assert_eq!(text_bytes(&engine), (4 << 20, 4 << 20), "two blocks, each one large page");
    for function in &functions {
        let backing = engine.facts().backing(function.address());
        assert!(matches!(backing, Some(Backing::Collapsed | Backing::Reserved)), "{backing:?}");
    }
    for function in functions {
        engine.free(function).expect("ours");
    }
}

fn data_of_one_mapping_is_in_large_pages_and_text_is_not() {
    let engine = engine_of(&Options::default().publish(Publish::Flip).large_at_once());
    let text = install(&engine, 7, 64);
    let data = engine.publish(engine.alloc::<Data>(1 << 20).expect("room")).expect("memory");
    assert_eq!(engine.facts().backing(text.address()), Some(Backing::Small));
    assert_eq!(engine.facts().backing(data.address()), Some(Backing::Collapsed));
    let (start, page) = (text.address(), engine.facts().machine().page().bytes());
    assert_eq!(engine.table().quantum(Kind::Text).bytes(), page);
    assert_eq!(engine.facts().backing(start + (1 << 20)), None, "nothing is mapped there");
    engine.free(text).expect("ours");
    engine.free(data).expect("ours");
}

/// Pages of the pool that the administrator reserved and that nothing uses.
fn reserved_pages() -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").expect("proc");
    let line = text.lines().find(|line| line.starts_with("HugePages_Free:")).expect("a kernel with hugetlb");
    line.split_ascii_whitespace().nth(1).and_then(|pages| pages.parse().ok()).expect("a number")
}

/// Uses a large page of these options, checks what it is made of, and that it is used again.
fn large_pages_come_back(options: &Options, backing: Backing) {
    let engine = engine_of(&options.large_at_once());
    let functions: Vec<_> = (0..100).map(|i| install(&engine, i, 64)).collect();
    assert_eq!(engine.facts().backing(functions[0].address()), Some(backing));
    let (text, large) = text_bytes(&engine);
    assert_eq!(text, large);
    for (value, function) in (0..).zip(functions) {
        assert_eq!(run(&function), value);
        engine.free(function).expect("ours");
    }
    engine.shrink();
    assert_eq!(text_bytes(&engine), (0, 0));
    assert_eq!(run(&install(&engine, 9, 64)), 9);
}

fn large_pages_without_the_reserved_pool_are_used_and_come_back() {
    large_pages_come_back(&Options::default().publish(Publish::Poke).without_reserved_pages(), Backing::Collapsed);
}

/// The pool must have some for every test that runs at the same time.
fn pages_of_the_reserved_pool_are_used_and_come_back() {
    const ENOUGH: u64 = 64;
    let missing = "fewer than 64 pages are reserved: sysctl vm.nr_hugepages=64";
    skip::unless(skip::condition(reserved_pages() >= ENOUGH, missing));
    large_pages_come_back(&Options::default().publish(Publish::Poke), Backing::Reserved);
}

/// In a process of its own, where no windows of other tests take all room.
fn every_call_between_window_and_program_reaches() {
    in_a_process("place::every_call_between_window_and_program_reaches", || {
        let linux = Linux::reserve(&Options::default().window(16 << 20)).expect("room near the program");
        let anchor = linux.facts().anchor().expect("near the program");
        assert!(anchor.contains(every_call_between_window_and_program_reaches as *const () as usize as u64));
        assert!(linux.facts().machine().reach().connects(anchor, linux.facts().window()));
        let table = linux.table().expect("a table");
        assert!(table.descriptor(Kind::Text).is_anchored);
        let engine = Engine::new(table, linux).expect("memory");
        let function = install(&engine, 42, 64);
        assert!(!function.is_far());
        assert!(engine.facts().machine().reach().reaches(function.address(), anchor.start()));
        assert_eq!(run(&function), 42);
    });
}

fn windows_near_an_address_never_overlap_and_end_in_an_error() {
    let first = Linux::reserve(&Options::default().window(2 << 20).place(Place::Anywhere)).expect("room");
    assert_eq!(first.facts().anchor(), None);
    let anchor = first.facts().window();
    let options = Options::default().window(512 << 20).place(Place::Near(anchor));
    let mut windows = Vec::new();
    let refused = loop {
        match Linux::reserve(&options) {
            Ok(linux) => windows.push(linux),
            Err(error) => break error,
        }
    };
    assert_eq!(refused, SetupError::NoRoomNear { anchor, bytes: 512 << 20 });
    assert!((1..=8).contains(&windows.len()), "at most 2 GiB on either side: {}", windows.len());
    for (index, window) in windows.iter().enumerate() {
        assert!(window.facts().machine().reach().connects(anchor, window.facts().window()));
        assert!(windows[..index].iter().all(|other| !other.facts().window().overlaps(window.facts().window())));
    }
}

fn windows_made_at_once_by_many_threads_are_disjoint() {
    let options = Options::default().window(8 << 20);
    let windows: Vec<Linux> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| Linux::reserve(&options).expect("room"))).collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
    });
    let starts: HashSet<u64> = windows.iter().map(|linux| linux.facts().window().start()).collect();
    assert_eq!(starts.len(), windows.len());
    let overlaps = |a: Extent| windows.iter().filter(|other| other.facts().window().overlaps(a)).count();
    assert!(windows.iter().all(|linux| overlaps(linux.facts().window()) == 1));
}

fn mappings_stay_few_and_are_gone_after_the_window() {
    let engine = engine_of(&Options::default().publish(Publish::Poke).without_reserved_pages());
    let window = engine.facts().window();
    let code: Vec<_> = (0..4000).map(|i| install(&engine, i, 1000)).collect();
    let data: Vec<_> = (0..400).map(|_| engine.alloc::<Data>(30_000).expect("room")).collect();
    let ours = || proc::mappings().expect("proc").iter().filter(|area| area.extent.overlaps(window)).count();
    // Each unit of code is a file of its own. Data is one stripe, and what is reserved another on either side.
    let units = usize::try_from(engine.pool_stats(Kind::Text).blocks).expect("few");
    assert!(ours() <= units + 6, "{} for {units} units of code", ours());
    drop((code, data));
    drop(engine);
    assert_eq!(ours(), 0);
}

fn sizes_that_are_no_window_are_refused() {
    for bytes in [0, 4096, 3 << 20, 4 << 30] {
        let error = Linux::reserve(&Options::default().window(bytes)).expect_err("no window");
        assert!(matches!(error, SetupError::BadWindow { .. }), "{error}");
    }
    let text = Linux::reserve(&Options::default()).and_then(|linux| linux.table()).expect("a table");
    assert_eq!(text.descriptor(Kind::Text).granularities[0], Some(PageSize::mib(2)));
}

fn inv_04_nothing_is_writable_and_executable() {
    ways().for_each(nothing_is_writable_and_executable);
}

fn nothing_is_writable_and_executable(publish: Publish) {
    let engine = engine(publish);
    let functions: Vec<_> = (0..500).map(|i| install(&engine, i, 2000)).collect();
    let (text, _) = text_bytes(&engine);
    assert!(text >= 500 * 2000);
    for function in functions {
        engine.free(function).expect("ours");
    }
    let (text, _) = text_bytes(&engine);
    assert!(text <= 2 << 20, "only the spare block stays executable");
}

fn secret_data_is_hidden_from_the_kernel_and_comes_back() {
    needs_secret_memory();
    for publish in ways() {
        let options = Options::default().window(64 << 20).publish(publish).data(DataSource::Secret);
        let linux = Linux::reserve(&options).expect("secret memory");
        assert_eq!(linux.facts().data(), DataSource::Secret);
        let engine = Engine::new(linux.table().expect("a table"), linux).expect("memory");
        let window = engine.facts().window();
        let secrets = || {
            let areas = proc::areas().expect("proc");
            let ours = areas.iter().filter(|area| window.overlaps(area.extent) && area.name.contains("secretmem"));
            ours.inspect(|area| assert!(!area.is_executable)).map(|area| area.extent.len()).sum::<u64>()
        };
        let text = install(&engine, 42, 64);
        assert_eq!(secrets(), 0, "code is not secret");
        let mut handles = Vec::new();
        for kind in DATA {
            let mut draft = engine.alloc_kind(kind, 100).expect("room");
            engine.write(&mut draft, 0, b"a key").expect("a draft");
            let live = engine.publish(draft).expect("memory");
            let mut bytes = [0; 6];
            engine.read(&live, 0, &mut bytes).expect("readable");
            assert_eq!(&bytes, b"a key\0");
            // What only the kernel can write is not hidden from it.
            let is_hidden = publish != Publish::ProcMem || kind.is_writable() || kind.is_sealable();
            assert_eq!(engine.facts().backing(live.address()) == Some(Backing::Secret), is_hidden, "{kind}");
            handles.push(live);
        }
        assert!(secrets() > 0 && run(&text) == 42);
        handles.into_iter().for_each(|live| engine.free(live).expect("ours"));
        engine.free(text).expect("ours");
        engine.shrink();
        assert_eq!((secrets(), engine.stats().bytes_mapped()), (0, 0));
        let again = engine.alloc::<Data>(64).expect("room where secrets were");
        engine.free(again).expect("ours");
    }
}

fn a_node_is_a_hint() {
    let has_nodes = std::path::Path::new("/proc/self/numa_maps").exists();
    skip::unless(skip::condition(has_nodes, "the kernel has no /proc/self/numa_maps: CONFIG_NUMA"));
    for publish in ways() {
        let options = Options::default().window(64 << 20).publish(publish).without_reserved_pages();
        let engine = engine_of(&options.node(0));
        assert_eq!(engine.facts().node(), Some(0));
        let function = install(&engine, 42, 64);
        assert_eq!(run(&function), 42);
        let data = engine.alloc::<Data>(64).expect("room");
        for block in [function.address(), data.address()] {
            let start = format!("{:x} prefer:0", PageSize::mib(2).round_down(block));
            let policies = std::fs::read_to_string("/proc/self/numa_maps").expect("proc");
            assert!(policies.lines().any(|line| line.starts_with(&start)), "{start} in {policies}");
        }
        engine.free(data).expect("ours");
        let nowhere = engine_of(&options.node(1000));
        assert_eq!((nowhere.facts().node(), run(&install(&nowhere, 7, 64))), (None, 7));
        assert_eq!(engine_of(&options.node(100_000)).facts().node(), None);
    }
}

fn the_ends_of_a_guarded_window_stay_unmapped() {
    for publish in ways() {
        let engine = engine_of(&Options::default().window(16 << 20).publish(publish).guarded());
        let (window, large) = (engine.facts().window(), 2 << 20);
        let mut text = Vec::new();
        while let Ok(draft) = engine.alloc::<Text>(1 << 20) {
            text.push(draft);
        }
        let first = text.iter().map(|draft| draft.address()).min().expect("room");
        let last = text.iter().map(|draft| draft.extent().last()).max().expect("room");
        assert_eq!((first, last), (window.start() + large, window.last() - large));
        let areas = proc::mappings().expect("proc");
        let ends = [Extent::new(window.start(), large), Extent::new(window.last() - large + 1, large)];
        for end in ends.into_iter().flatten() {
            assert!(areas.iter().filter(|area| area.extent.overlaps(end)).all(|area| !area.is_readable));
        }
        text.into_iter().for_each(|draft| engine.free(draft).expect("ours"));
    }
}

fn every_entry_point_has_readable_bytes_before_it() {
    for publish in ways() {
        let engine = engine_of(&Options::default().publish(publish).lead(16));
        assert_eq!(engine.table().lead(Kind::Data), 0);
        let mut functions = Vec::new();
        for value in 0..100 {
            let code = constant(value, 20);
            let mut draft = engine.alloc::<Text>(code.len() as u64).expect("room");
            let entry = engine.entry(&draft);
            assert_eq!(entry - draft.address(), 16);
            assert!(draft.extent().len() >= 16 + code.len() as u64);
            engine.write(&mut draft, 12, &value.to_ne_bytes()).expect("a draft");
            engine.write(&mut draft, 16, &code).expect("a draft");
            let live = engine.publish(draft).expect("memory");
            assert_eq!((crate::linux::code::run_at(entry), crate::linux::code::word_before(entry)), (value, value));
            functions.push(live);
        }
        functions.into_iter().for_each(|live| engine.free(live).expect("ours"));
    }
    assert!(matches!(Linux::reserve(&Options::default().lead(8)).expect("memory").table(), Err(SetupError::Table(_))));
}

fn inv_04_no_transition_makes_memory_writable_and_executable() {
    let check = |after: &str| assert_eq!(proc::writable_and_executable_bytes().expect("smaps"), 0, "after {after}");
    let plain = Options::default();
    for options in [plain, plain.guarded().lead(16).data(DataSource::SecretOrOrdinary)] {
        for publish in ways() {
            let engine = engine_of(&options.publish(publish));
            check("reserving");
            for kind in Kind::ALL {
                let mut draft = engine.alloc_kind(kind, 10_000).expect("room");
                check("alloc");
                engine.write(&mut draft, 32, &constant(1, 0)).expect("a draft");
                check("write");
                engine.truncate(&mut draft, 5_000).expect("shorter");
                check("truncate");
                let live = engine.publish(draft).expect("memory");
                check("publish");
                engine.free(live).expect("ours");
                check("free");
            }
            let function = install(&engine, 1, 64);
            engine.patch_unexecuted(&function, 0, &[0x90]).expect("published");
            check("patch");
            let (large, kept) = (engine.alloc::<Text>(5 << 20).expect("room"), engine.alloc::<RoAfterInit>(64));
            check("growing");
            let sealed = engine.seal(engine.publish(kept.expect("room")).expect("memory")).expect("sealable");
            check("seal");
            engine.free(sealed).expect("ours");
            engine.free(large).expect("ours");
            engine.free(function).expect("ours");
            engine.shrink();
            check("shrink");
            drop(engine);
            check("drop");
        }
    }
}

/// What others see in between, since every change is a system call.
fn inv_04_nobody_ever_sees_memory_writable_and_executable() {
    for publish in ways() {
        let engine = engine(publish);
        let (looks, is_over) = (AtomicU32::new(0), AtomicBool::new(false));
        std::thread::scope(|scope| {
            let watcher = scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    let areas = proc::mappings().expect("proc");
                    assert!(areas.iter().all(|area| !(area.is_writable && area.is_executable)));
                    looks.fetch_add(1, Ordering::Relaxed);
                }
            });
            // At least 300 changes, and as many as a watcher on a busy machine needs for ten looks.
            let is_enough = |round| round >= 300 && looks.load(Ordering::Relaxed) > 10 || watcher.is_finished();
            for round in (0..).take_while(|round| !is_enough(*round)) {
                let function = install(&engine, round, 64);
                engine.patch_unexecuted(&function, 0, &constant(round + 1, 0)).expect("published");
                assert_eq!(run(&function), round + 1);
                engine.free(function).expect("ours");
                engine.shrink();
            }
            is_over.store(true, Ordering::Relaxed);
            watcher.join().expect("nothing was seen");
        });
    }
}
