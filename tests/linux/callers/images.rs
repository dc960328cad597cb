//! Functions of the program itself, which no engine made: traced, probed and replaced by what the program vouches for.

use std::sync::atomic::{AtomicU64, Ordering};

use execmem::Extent;
use execmem_clients::Error;
use execmem_clients::ftrace::Ftrace;
use execmem_clients::patch::{Breakpoints as _, Change, Sites, replace_at};
use execmem_clients::site::{CodeSite as _, Probe};
use execmem_linux::{Vouched, vouch};

use super::support::{Traps, check_empty, engine, install, run};

skip::tests! {
    functions_of_the_program_are_traced_probed_and_replaced
}

// Two functions with a site each: `lea eax, [rdi + 7]; ret` and `lea eax, [rdi + 8]; ret`.
std::arch::global_asm!(
    ".pushsection .text.execmem_traced, \"ax\", @progbits",
    ".balign 64",
    "execmem_traced_first:",
    ".byte 0x0f, 0x1f, 0x44, 0, 0, 0x8d, 0x47, 7, 0xc3",
    ".balign 64, 0xcc",
    "execmem_traced_second:",
    ".byte 0x0f, 0x1f, 0x44, 0, 0, 0x8d, 0x47, 8, 0xc3",
    ".balign 64, 0xcc",
    ".popsection",
);

unsafe extern "C" {
    fn execmem_traced_first();
    fn execmem_traced_second();
}

const BYTES: u64 = 128;

fn image() -> (Vouched, [u64; 2]) {
    let functions: [unsafe extern "C" fn(); 2] = [execmem_traced_first, execmem_traced_second];
    let functions = functions.map(|function| function as usize as u64);
    let extent = Extent::new(functions[0], BYTES).expect("some bytes");
    // SAFETY: the assembler put two functions and padding there, in the text of this program, which is never unmapped. Nothing
    // else refers to them but by calling them, and this test puts instructions there that a function may begin with.
    (unsafe { vouch(extent) }, functions)
}

fn functions_of_the_program_are_traced_probed_and_replaced() {
    let engine = engine();
    let (image, [first, second]) = image();
    let rules = Sites::of(engine.table().machine()).expect("a row");
    let traps = Traps::new();
    let ftrace = Ftrace::new(&engine, traps, u64::MAX).expect("rows");
    let call = |function: u64, x: u64| run(function, [x, 0, 0, 0]) & 0xffff_ffff;
    assert_eq!((call(first, 1), call(second, 1)), (8, 9));
    // lock inc qword [rdx]; ret
    let (tracer, count) = (install(&engine, &[0xf0, 0x48, 0xff, 0x02, 0xc3]), AtomicU64::new(0));
    let ops = ftrace.register(tracer.address(), count.as_ptr().addr() as u64).expect("room");
    match ftrace.enable_at(ops, &image, first) {
        Ok(()) => {
            assert_eq!((call(first, 1), call(second, 1), count.load(Ordering::SeqCst)), (8, 9, 1));
            ftrace.disable_at(ops, &image, first).expect("enabled");
        }
        // The engine found no room near the program.
        Err(error) => assert!(matches!(error, Error::BranchOutOfReach { .. }), "{error}"),
    }
    let jump = rules.jump(first, second).expect("near");
    let change = |old, new| Change { address: first, old, new, resume: first + rules.len() };
    replace_at(&image, &rules, &traps, &change(rules.nop(), jump)).expect("a site");
    assert_eq!(call(first, 1), 9, "the other one answers");
    replace_at(&image, &rules, &traps, &change(jump, rules.nop())).expect("a jump");
    // A breakpoint on the first instruction sends its caller to the other function.
    traps.arm(first, second);
    let mut probe = Probe::place(&image, engine.table().machine(), first).expect("an instruction");
    assert_eq!(call(first, 1), 9);
    probe.remove(&image).expect("it stands");
    traps.disarm(first);
    assert_eq!((call(first, 1), call(second, 1)), (8, 9));
    assert_eq!(image.hold(first + BYTES), Err(Error::NoCode { address: first + BYTES }));
    assert!(image.patch(first + BYTES - 1, &[0; 2]).is_err() && image.read(first - 1, &mut [0]).is_err());
    ftrace.unregister(ops, || ()).expect("no sites");
    engine.free(tracer).expect("ours");
    check_empty(&engine);
}
