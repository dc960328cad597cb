//! Memory that begins small and becomes large pages, while its code is executed and patched.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use execmem::{Backend as _, Describe as _, Extent, Kind, PageSize, Protection};
use execmem::{kinds::Data, kinds::RoData};
use execmem_linux::{Backing, Linux, Options, Publish, proc};
use execmem_types::{Mapping, SyncScope};

use super::code::{DATA, byte_at, engine, engine_of, install, run, store_byte, text_bytes, ways};
use super::process::{in_a_process, processor_time};

skip::tests! {
    one_function_one_datum_and_one_constant_take_little_memory
    a_window_of_one_unit_or_two_holds_every_kind
    a_unit_that_is_used_becomes_a_large_page_and_the_next_is_one_at_once
    published_memory_that_was_never_written_holds_what_unused_memory_holds
    stress_units_grow_while_their_code_is_executed_and_patched
    memory_that_waits_for_the_rest_of_its_unit_is_counted
    a_large_unit_is_made_in_a_fifth_of_a_millisecond
}

/// Bytes of memory behind a window and its writable views.
fn memory_of(window: Extent) -> u64 {
    let areas = proc::areas().expect("proc");
    let ours = areas.iter().filter(|area| window.overlaps(area.extent) || area.name.starts_with("/memfd:"));
    ours.map(|area| area.proportional_bytes).sum()
}

fn one_function_one_datum_and_one_constant_take_little_memory() {
    in_a_process("growth::one_function_one_datum_and_one_constant_take_little_memory", || {
        for publish in ways() {
            let engine = engine(publish);
            let function = install(&engine, 42, 64);
            assert_eq!(run(&function), 42);
            let window = engine.facts().window();
            let code = memory_of(window);
            assert!(code <= 8 << 10, "{publish:?}: {code} bytes for a function");
            let data = engine.publish(engine.alloc::<Data>(64).expect("room")).expect("memory");
            store_byte(data.address(), 1);
            let mut constants = engine.alloc::<RoData>(64).expect("room");
            engine.write(&mut constants, 0, &[2]).expect("a draft");
            let constants = engine.publish(constants).expect("memory");
            assert_eq!((byte_at(data.address()), byte_at(constants.address())), (1, 2));
            let all = memory_of(window);
            assert!(all <= 24 << 10, "{publish:?}: {all} bytes for one of each");
            engine.free(data).expect("ours");
            engine.free(constants).expect("ours");
            engine.free(function).expect("ours");
        }
    });
}

fn a_window_of_one_unit_or_two_holds_every_kind() {
    for (publish, bytes) in ways().flat_map(|publish| [(publish, 2 << 20), (publish, 4 << 20)]) {
        let engine = engine_of(&Options::default().window(bytes).publish(publish));
        let functions: Vec<_> = (0..100).map(|value| install(&engine, value, 1000)).collect();
        let mut handles = Vec::new();
        for kind in Kind::ALL {
            let mut draft = engine.alloc_kind(kind, 5000).expect("room for each");
            engine.write(&mut draft, 100, b"content").expect("a draft");
            handles.push(engine.publish(draft).expect("memory"));
        }
        for live in &handles {
            let mut bytes = [0; 7];
            engine.read(live, 100, &mut bytes).expect("live");
            assert_eq!(&bytes, b"content");
        }
        assert!(functions.iter().zip(0..).all(|(function, value)| run(function) == value));
        assert_eq!(proc::writable_and_executable_bytes().expect("smaps"), 0);
        handles.into_iter().for_each(|live| engine.free(live).expect("ours"));
        functions.into_iter().for_each(|function| engine.free(function).expect("ours"));
        engine.audit_unused().expect("as unused memory is");
        engine.shrink();
        assert_eq!((engine.stats().bytes_mapped(), engine.facts().waiting_bytes()), (0, 0), "{publish:?}");
    }
}

fn a_unit_that_is_used_becomes_a_large_page_and_the_next_is_one_at_once() {
    for publish in [Publish::Poke, Publish::ProcMem].into_iter().filter(|publish| ways().any(|way| way == *publish)) {
        let engine = engine_of(&Options::default().publish(publish).without_reserved_pages());
        let mut functions = vec![install(&engine, 0, 1000)];
        assert_eq!(engine.facts().backing(functions[0].address()), Some(Backing::Small));
        assert_eq!(text_bytes(&engine), (8 << 10, 0));
        functions.push(install(&engine, 1, 8000));
        assert_eq!(text_bytes(&engine), (64 << 10, 0));
        functions.extend((2..300).map(|value| install(&engine, value, 1000)));
        assert_eq!(engine.facts().backing(functions[0].address()), Some(Backing::Collapsed), "{publish:?}");
        assert_eq!(text_bytes(&engine), (2 << 20, 2 << 20));
        functions.push(install(&engine, 300, 2 << 20));
        assert_eq!(text_bytes(&engine), (4 << 20, 4 << 20), "{publish:?}");
        assert!(functions.iter().zip(0..).all(|(function, value)| run(function) == value));
        functions.into_iter().for_each(|function| engine.free(function).expect("ours"));
        engine.audit_unused().expect("freed text traps");
    }
}

fn published_memory_that_was_never_written_holds_what_unused_memory_holds() {
    for publish in ways() {
        let engine = engine(publish);
        let trap = engine.facts().machine().trap();
        for kind in [Kind::Text, Kind::Bpf].into_iter().chain(DATA) {
            let mut draft = engine.alloc_kind(kind, 3 << 20).expect("room");
            engine.write(&mut draft, 10, &[1]).expect("a draft");
            let live = engine.publish(draft).expect("memory");
            for offset in [0, 9, 11, 70_000, 400_000, (2 << 20) - 1, 2 << 20, (3 << 20) - 1] {
                let address = live.address() + offset;
                let expected = if kind.is_code() { trap.at(address) } else { 0 };
                assert_eq!(byte_at(address), expected, "{kind} at {offset:#x}, {publish:?}");
            }
            assert_eq!(byte_at(live.address() + 10), 1);
            engine.free(live).expect("ours");
        }
    }
}

/// Seconds for tests that try chances.
fn stress_time() -> Duration {
    let seconds = std::env::var("EXECMEM_STRESS_SECONDS").ok().and_then(|seconds| seconds.parse().ok());
    Duration::from_secs_f64(seconds.unwrap_or(2.0))
}

/// One thread calls a function all the time, one changes the value it returns, and the unit around it grows.
fn stress_units_grow_while_their_code_is_executed_and_patched() {
    for publish in [Publish::Poke, Publish::ProcMem].into_iter().filter(|publish| ways().any(|way| way == *publish)) {
        let end = Instant::now() + stress_time();
        let (mut units, mut large) = (0, 0);
        let calls = AtomicU32::new(0);
        while Instant::now() < end {
            let engine = engine_of(&Options::default().publish(publish).window(32 << 20).without_reserved_pages());
            let function = install(&engine, 0, 64);
            let is_over = AtomicBool::new(false);
            let newest = AtomicU32::new(0);
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    while !is_over.load(Ordering::Relaxed) {
                        let least = newest.load(Ordering::Acquire);
                        let value = run(&function);
                        let most = newest.load(Ordering::Acquire) + 1;
                        assert!((least..=most).contains(&value), "{value} is not in {least}..={most}");
                        calls.fetch_add(1, Ordering::Relaxed);
                    }
                });
                scope.spawn(|| {
                    for value in 1..=255_u8 {
                        // One byte is changed at once on every machine.
                        engine.patch(&function, 1, &[value]).expect("published");
                        newest.store(value.into(), Ordering::Release);
                        if is_over.load(Ordering::Relaxed) {
                            break;
                        }
                    }
                });
                let others: Vec<_> = (0..200).map(|value| install(&engine, value, 2000)).collect();
                assert!(others.iter().zip(0..).all(|(other, value)| run(other) == value));
                is_over.store(true, Ordering::Relaxed);
                others.into_iter().for_each(|other| engine.free(other).expect("ours"));
            });
            assert_eq!(run(&function), newest.load(Ordering::Acquire), "no patch is lost");
            units += 1;
            large += u32::from(engine.facts().backing(function.address()) == Some(Backing::Collapsed));
            engine.free(function).expect("ours");
            engine.audit_unused().expect("freed text traps");
        }
        assert!(units > 0 && large > 0 && calls.load(Ordering::Relaxed) > 100, "{publish:?}: {large} of {units}");
    }
}

/// A sealed file gives back nothing but all of it, so what was unmapped is counted until then.
fn memory_that_waits_for_the_rest_of_its_unit_is_counted() {
    let options = Options::default().publish(Publish::Poke).without_reserved_pages();
    let linux = Linux::reserve(&options).expect("memory");
    let (machine, window) = (*linux.facts().machine(), linux.facts().window());
    let whole = window.part(0, 2 << 20).expect("a unit");
    let large = PageSize::mib(2);
    for _ in 0..3 {
        linux.map(&Mapping::new(whole, large, Protection::ReadExecute, machine.trap())).expect("memory");
        linux.sync_code(whole, SyncScope::Fresh).expect("mapped");
        let [first, rest] = [whole.part(0, 1 << 20), whole.part(1 << 20, 1 << 20)].map(|part| part.expect("a half"));
        linux.unmap(first).expect("mapped");
        assert_eq!(linux.facts().waiting_bytes(), 1 << 20);
        linux.map(&Mapping::new(first, machine.page(), Protection::ReadExecute, machine.trap())).expect("memory");
        linux.unmap(rest).expect("mapped");
        assert_eq!(linux.facts().waiting_bytes(), 2 << 20, "the first file is still there for what replaced it");
        linux.unmap(first).expect("mapped");
        assert_eq!(linux.facts().waiting_bytes(), 0);
    }
    let areas = proc::areas().expect("proc");
    assert!(areas.iter().filter(|area| window.overlaps(area.extent)).all(|area| !area.is_executable));
}

fn a_large_unit_is_made_in_a_fifth_of_a_millisecond() {
    const MOST: Duration = Duration::from_micros(200);
    let options = Options::default().publish(Publish::Poke).large_at_once().without_reserved_pages();
    let linux = Linux::reserve(&options).expect("memory");
    let (machine, window) = (*linux.facts().machine(), linux.facts().window());
    let whole = window.part(0, 2 << 20).expect("a unit");
    let mapping = Mapping::new(whole, PageSize::mib(2), Protection::ReadExecute, machine.trap());
    let mut times: Vec<_> = (0..200)
        .map(|_| {
            let time = processor_time(|| linux.map(&mapping).expect("memory"));
            assert_eq!(linux.facts().backing(whole.start()), Some(Backing::Collapsed));
            linux.unmap(whole).expect("mapped");
            time
        })
        .collect();
    times.sort_unstable();
    // Of the processor, and the best tenth. What others do on this machine at the same time slows down the caches, as it
    // does for memory that is mapped and written page by page, which takes longer on a machine by itself.
    let page_by_page = {
        let mut times: Vec<_> = (0..200).map(|_| processor_time(map_and_fill)).collect();
        times.sort_unstable();
        times[20]
    };
    assert!(times[20] < MOST.max(page_by_page), "{:?}, median {:?}; {page_by_page:?}", times[20], times[100]);
}

/// Maps 2 MiB, writes to all of it and unmaps it.
fn map_and_fill() {
    const BYTES: usize = 2 << 20;
    // SAFETY: without MAP_FIXED, mmap(2) chooses addresses that nothing uses.
    let start = unsafe {
        let anonymous = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        libc::mmap(std::ptr::null_mut(), BYTES, libc::PROT_READ | libc::PROT_WRITE, anonymous, -1, 0)
    };
    assert_ne!(start, libc::MAP_FAILED);
    // SAFETY: the bytes were mapped just now and are known to no other code.
    unsafe { start.cast::<u8>().write_bytes(0xcc, BYTES) };
    // SAFETY: exactly what was mapped, and nothing points into it.
    assert_eq!(unsafe { libc::munmap(start, BYTES) }, 0);
}
