//! Tracers and dispatchers of the machine this runs on. What changes was not executed before, because emulators execute
//! what they translated; tests/linux/callers changes code under execution.

use std::sync::atomic::{AtomicUsize, Ordering};

use execmem::{Engine, Live, kinds::Text};
use execmem_clients::bpf::{Bpf, MAX_TARGETS, Options};
use execmem_clients::ftrace::Ftrace;
use execmem_clients::patch::NoBreakpoints;
use execmem_linux::{Linux, Publish, call};

use super::code::{self, install, run_at};

skip::tests! {
    tracers_of_this_machine_learn_site_and_caller_and_disturb_nothing
    dispatchers_of_this_machine_go_where_they_are_told
}

/// A function with a site, which adds 7 to its argument; where the site is.
#[cfg(target_arch = "x86_64")]
const TRACED: (&[u8], usize) = (&[0x0f, 0x1f, 0x44, 0, 0, 0x8d, 0x47, 7, 0xc3], 0); // nop; lea eax, [rdi + 7]; ret
#[cfg(target_arch = "aarch64")]
const TRACED: (&[u8], usize) = (
    // mov x9, x30; nop; add w0, w0, 7; ret
    &[0xe9, 0x03, 0x1e, 0xaa, 0x1f, 0x20, 0x03, 0xd5, 0x00, 0x1c, 0x00, 0x11, 0xc0, 0x03, 0x5f, 0xd6],
    4,
);
#[cfg(target_arch = "riscv64")]
const TRACED: (&[u8], usize) = (
    // nop; addiw a0, a0, 7; ret
    &[0x13, 0, 0, 0, 0x1b, 0x05, 0x75, 0x00, 0x67, 0x80, 0, 0],
    0,
);
#[cfg(target_arch = "powerpc")]
const TRACED: (&[u8], usize) = (
    // mflr r0; nop; addi r3, r3, 7; blr
    &[0x7c, 0x08, 0x02, 0xa6, 0x60, 0, 0, 0, 0x38, 0x63, 0x00, 0x07, 0x4e, 0x80, 0x00, 0x20],
    4,
);

fn traced(engine: &Engine<Linux>) -> Live<Text> {
    let mut draft = engine.alloc::<Text>(TRACED.0.len() as u64).expect("room");
    engine.write(&mut draft, 0, TRACED.0).expect("a draft");
    engine.publish(draft).expect("memory")
}

fn add_seven(function: &Live<Text>, argument: u32) -> u32 {
    // SAFETY: the memory holds [`TRACED`], whose site holds what it held or calls a trampoline that preserves registers.
    let value = unsafe { call(function.address(), [argument.into(), 1, 2, 3]) };
    u32::try_from(value & 0xffff_ffff).expect("32 bits")
}

/// What a tracer was told.
#[derive(Default)]
struct Told {
    calls: AtomicUsize,
    site: AtomicUsize,
    caller: AtomicUsize,
}

/// Writes down what it is told, with many calls below it, so that nothing is left of the registers a call may change.
extern "C" fn tracer(site: usize, caller: usize, told: &Told) {
    told.calls.fetch_add(1, Ordering::SeqCst);
    told.site.store(site, Ordering::SeqCst);
    told.caller.store(caller, Ordering::SeqCst);
    assert_ne!(format!("{site:x} {caller:x} {:x}", site ^ caller).len(), 0);
}

fn tracers_of_this_machine_learn_site_and_caller_and_disturb_nothing() {
    let engine = code::engine(Publish::Poke);
    let ftrace = Ftrace::new(&engine, NoBreakpoints, u64::MAX).expect("rows");
    let (told, handler): (Told, extern "C" fn(usize, usize, &Told)) = (Told::default(), tracer);
    let data = std::ptr::from_ref(&told).expose_provenance();
    let ops = ftrace.register(handler as usize as u64, data as u64).expect("room");
    let functions: Vec<_> = (0..3).map(|_| traced(&engine)).collect();
    let site = u64::try_from(TRACED.1).expect("small");
    ftrace.enable(ops, &functions[0], site).expect("a site");
    ftrace.enable(ops, &functions[1], site).expect("a site");
    ftrace.disable(ops, &functions[1], site).expect("enabled");
    for (function, calls) in functions.iter().zip([50, 50, 50]) {
        for argument in 0..50 {
            assert_eq!(add_seven(function, argument), argument + 7);
        }
        assert_eq!(told.calls.load(Ordering::SeqCst), calls, "only the first is traced");
    }
    let behind = functions[0].address() + site + ftrace.nop().bytes().len() as u64;
    assert_eq!(told.site.load(Ordering::SeqCst) as u64, behind);
    let caller = told.caller.load(Ordering::SeqCst) as u64;
    assert!(engine.find(caller).is_none() && caller != 0, "this program: {caller:#x}");
    ftrace.disable(ops, &functions[0], site).expect("enabled");
    ftrace.unregister(ops, || ()).expect("no sites");
    functions.into_iter().for_each(|function| engine.free(function).expect("ours"));
    engine.audit_unused().expect("freed code traps");
}

fn dispatchers_of_this_machine_go_where_they_are_told() {
    let engine = code::engine(Publish::Poke);
    let bpf = Bpf::new(&engine, Options { limit: u64::MAX, seed: 1, flush_predictors: || () });
    let functions: Vec<_> =
        (0..=u32::try_from(MAX_TARGETS).expect("small")).map(|i| install(&engine, i * 3, 0)).collect();
    for known in [0, 1, 7, MAX_TARGETS] {
        let mut dispatcher = bpf.dispatcher(NoBreakpoints).expect("rows");
        let targets: Vec<u64> = functions[..known].iter().map(|function| function.address()).collect();
        bpf.update(&mut dispatcher, &targets, || ()).expect("near");
        for (function, value) in functions.iter().zip((0..).step_by(3)) {
            // SAFETY: the dispatcher is complete, and the third argument is a function of `install`.
            let found = unsafe { call(dispatcher.entry(), [0, 0, function.address(), 0]) };
            assert_eq!(
                (found & 0xffff_ffff, run_at(function.address())),
                (value, u32::try_from(value).expect("small"))
            );
        }
        bpf.close(&dispatcher).expect("open");
    }
    assert_eq!(bpf.usage().bytes, 0);
}
