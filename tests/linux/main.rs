//! The engine on real memory: generated functions run, and the kernel confirms what we claim.
#![cfg(target_arch = "x86_64")]
#![expect(unsafe_code, reason = "calls the functions it generates")]

use execmem::{Engine, Error, Handle as _, Kind, Live, kinds::Text};
use execmem_linux::{Linux, Options, call, proc};

fn engine() -> Engine<Linux> {
    let linux = Linux::reserve(&Options::default()).expect("executable memory");
    let table = linux.table().expect("a table");
    Engine::new(table, linux).expect("memory")
}

/// `mov eax, value; ret`, padded to a length with traps.
fn constant(value: u32, len: usize) -> Vec<u8> {
    let mut code = vec![0xb8];
    code.extend(value.to_le_bytes());
    code.push(0xc3);
    code.resize(len.max(6), 0xcc);
    code
}

fn install(engine: &Engine<Linux>, value: u32, len: usize) -> Live<Text> {
    let code = constant(value, len);
    let mut draft = engine.alloc::<Text>(code.len() as u64).expect("room");
    engine.write(&mut draft, 0, &code).expect("a draft");
    engine.publish(draft).expect("memory")
}

fn run(live: &Live<Text>) -> u32 {
    // SAFETY: the allocation holds `mov eax, imm32; ret`, is published, and is not freed meanwhile.
    let value = unsafe { call(live.address(), [0; 4]) };
    u32::try_from(value & 0xffff_ffff).expect("32 bits")
}

#[test]
fn functions_return_what_they_were_generated_to() {
    let engine = engine();
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

#[test]
fn patched_functions_return_the_new_value() {
    let engine = engine();
    let function = install(&engine, 1, 64);
    for value in 2..100_u32 {
        engine.patch(&function, 1, &value.to_le_bytes()).expect("published code");
        assert_eq!(run(&function), value);
    }
    engine.free(function).expect("ours");
}

#[test]
fn inv_04_nothing_is_writable_and_executable_and_text_is_in_large_pages() {
    let engine = engine();
    let functions: Vec<_> = (0..2000).map(|i| install(&engine, i, 2000)).collect();
    let window = engine.backend().window();
    let areas = proc::areas().expect("proc");
    let ours = || areas.iter().filter(|area| window.overlaps(area.extent));
    assert!(ours().all(|area| !(area.is_writable && area.is_executable)));
    let text: u64 = ours().filter(|area| area.is_executable).map(|area| area.extent.len()).sum();
    let large: u64 = ours().filter(|area| area.is_executable).map(|area| area.large_bytes).sum();
    assert_eq!((text, large), (4 << 20, 4 << 20), "two blocks, each one large page");
    for function in functions {
        engine.free(function).expect("ours");
    }
}

#[test]
fn data_kinds_hold_data_at_their_address() {
    let engine = engine();
    for kind in [Kind::Data, Kind::RoData, Kind::RoAfterInit] {
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

#[test]
fn handles_of_another_engine_are_refused_and_come_back() {
    let (one, other) = (engine(), engine());
    let function = install(&one, 5, 64);
    let failed = other.free(function).expect_err("not its own");
    assert!(matches!(failed.error, Error::ForeignHandle { .. }));
    assert_eq!(run(&failed.handle), 5);
    one.free(failed.handle).expect("its own");
}

#[test]
fn threads_install_run_and_free_at_once() {
    let engine = engine();
    std::thread::scope(|scope| {
        for thread in 0..4_u32 {
            let engine = &engine;
            scope.spawn(move || {
                for round in 0..2000_u32 {
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
