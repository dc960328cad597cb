//! Probes, tracers and programs.

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use execmem::Extent;
use execmem_clients::Credit;
use execmem_clients::bpf::{self, Bpf, Trust};
use execmem_clients::ftrace::Ftrace;
use execmem_clients::kprobe::{Kprobes, SlotFormat};
use execmem_clients::patch::Breakpoints as _;

use super::life::call;
use crate::kernel::arch::{self, MACHINE};
use crate::kernel::breakpoints::{self, Armed};
use crate::kernel::code::{ANSWER, PROBED, TRACED};
use crate::kernel::console::say;
use crate::kernel::engine::{KernelEngine, install};
use crate::kernel::frames::LARGE;
use crate::kernel::processors;

/// Bytes that each caller may hold.
const LIMIT: u64 = 1 << 20;

/// What tracers call: counts.
extern "C" fn count(_site: u64, _caller: u64, calls: &AtomicU64) {
    calls.fetch_add(1, Ordering::Relaxed);
}

/// Each is made and executed, and all lie in one large page.
pub(super) fn in_one_block(engine: &KernelEngine) {
    let probe = probe(engine);
    let tracer = trace(engine);
    let program = run_program(engine);
    let block = LARGE.round_down(probe.start());
    assert!([probe, tracer, program].iter().all(|extent| LARGE.round_down(extent.start()) == block));
    say!("callers: a probe, a tracer and a program, executed, in one block of 2M");
}

/// A function whose first instruction is executed in a slot: a breakpoint stands in its place.
fn probe(engine: &KernelEngine) -> Extent {
    let code = install(engine, PROBED.bytes());
    let source = code.address();
    assert_eq!(call(source, 234), Some(1234));
    let kprobes = Kprobes::new(engine, SlotFormat::of(MACHINE.instructions.isa).expect("a row"), LIMIT);
    let slot = kprobes.insert(|slot| arch::copy_probed(source, PROBED.bytes(), slot)).expect("a copy in a slot");
    let address = kprobes.address(slot).expect("it is used");
    // The copy ends with a jump back, or with a breakpoint behind the instruction.
    Armed.arm(source, address);
    Armed.arm(address + arch::PROBED_BYTES, source + arch::PROBED_BYTES);
    let breakpoint = MACHINE.instructions.breakpoint;
    let hits = breakpoints::hits();
    engine.patch(&code, 0, breakpoint).expect("a breakpoint replaces an instruction at once");
    assert_eq!(call(source, 5), Some(1005));
    assert!(breakpoints::hits() > hits, "the breakpoint was hit");
    engine.patch(&code, 0, &PROBED.bytes()[..breakpoint.len()]).expect("it is put back");
    [source, address + arch::PROBED_BYTES].into_iter().for_each(|site| Armed.disarm(site));
    assert_eq!(call(source, 6), Some(1006));
    kprobes.release(slot).expect("it is used");
    kprobes.close(|| ());
    let extent = code.extent();
    engine.free(code).expect("it is ours");
    extent
}

/// A function that a tracer is called from.
fn trace(engine: &KernelEngine) -> Extent {
    static CALLS: AtomicU64 = AtomicU64::new(0);
    let code = install(engine, TRACED.bytes());
    let tracers = Ftrace::new(engine, Armed, LIMIT).expect("rows of this machine");
    let tracer = tracers.register(count as *const () as u64, &raw const CALLS as u64).expect("a trampoline");
    let trampoline = Extent::new(tracers.address(tracer).expect("it is there"), 1).expect("an address");
    assert_eq!(call(code.address(), 4), Some(5));
    tracers.enable(tracer, &code, TRACED.site()).expect("the site calls it");
    assert_eq!(call(code.address(), 5), Some(6));
    tracers.disable(tracer, &code, TRACED.site()).expect("the site calls nothing");
    assert_eq!(call(code.address(), 6), Some(7));
    assert_eq!(CALLS.load(Ordering::Relaxed), 1, "traced once");
    tracers.unregister(tracer, || ()).expect("it is not used");
    engine.free(code).expect("it is ours");
    trampoline
}

/// A program of a compiler for BPF, as far as the kernel has to do with it.
fn run_program(engine: &KernelEngine) -> Extent {
    let programs = Bpf::new(engine, bpf::Options { limit: LIMIT, seed: 1, flush_predictors: || () });
    let len = ANSWER.bytes().len() as u64;
    let request = bpf::ProgramRequest { len, align: 16, trust: Trust::Trusted, credit: Credit::Limited };
    let mut program = programs.alloc(&request).expect("room");
    program.image_mut().copy_from_slice(ANSWER.bytes());
    let program = program.finalize().expect("a program");
    let image = programs.image(program).expect("it is there");
    assert_eq!(call(image.start(), 0), Some(42));
    programs.free(program).expect("it is ours");
    image
}

/// A site becomes a call and nothing again while the other processor comes by.
pub(super) fn patched_while_called(engine: &KernelEngine) {
    // Each waits a dozen times for the other processor, which an emulator may not be running at the moment.
    const ROUNDS: u64 = 50;
    /// Calls until the other processor lets this one go on, where the emulator runs one at a time.
    const TURN: u64 = 1000;
    static TRACED_CALLS: AtomicU64 = AtomicU64::new(0);
    let code = install(engine, TRACED.bytes());
    let tracers = Ftrace::new(engine, Armed, LIMIT).expect("rows of this machine");
    let tracer = tracers.register(count as *const () as u64, &raw const TRACED_CALLS as u64).expect("a trampoline");
    let (has_ended, calls) = (AtomicBool::new(false), AtomicU64::new(0));
    let ran = processors::together(
        &mut || {
            for _ in 0..ROUNDS {
                tracers.enable(tracer, &code, TRACED.site()).expect("the site calls it");
                wait_for(&TRACED_CALLS);
                tracers.disable(tracer, &code, TRACED.site()).expect("the site calls nothing");
                wait_for(&calls);
            }
            has_ended.store(true, Ordering::Release);
        },
        &mut || {
            while !has_ended.load(Ordering::Acquire) {
                assert_eq!(call(code.address(), 41), Some(42));
                if calls.fetch_add(1, Ordering::Relaxed) % TURN == 0 {
                    processors::relax();
                }
            }
        },
    );
    let [calls, traced] = [calls.load(Ordering::Relaxed), TRACED_CALLS.load(Ordering::Relaxed)];
    assert!(ran && traced >= ROUNDS && calls > traced, "{calls} calls, {traced} traced");
    say!("patching: {ROUNDS} times a call and back, {calls} calls of the other processor meanwhile, {traced} traced");
    tracers.unregister(tracer, || ()).expect("it is not used");
    engine.free(code).expect("it is ours");
}

/// Waits until something was counted again.
fn wait_for(counted: &AtomicU64) {
    let before = counted.load(Ordering::Relaxed);
    while counted.load(Ordering::Relaxed) == before {
        processors::relax();
    }
}
