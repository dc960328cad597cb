//! Backtraces through generated code.

use std::backtrace::Backtrace;
use std::sync::{Arc, Mutex, PoisonError};

use cranelift_codegen::ir::InstBuilder as _;
use cranelift_module::{FuncId, Linkage, Module as _};
use execmem::Engine;
use execmem_cranelift::{Builder, CodeModule};
use execmem_linux::{Linux, Options, Publish, call};

use crate::generator::{calls, compile_context, signature};

skip::tests! {
    backtraces_pass_generated_code
    backtraces_pass_code_that_replaced_other
}

static SEEN: Mutex<String> = Mutex::new(String::new());
/// One test at a time looks around.
static LOOKING: Mutex<()> = Mutex::new(());

extern "C" fn look_around(a: u64, _: u64) -> u64 {
    *SEEN.lock().expect("no panic") = Backtrace::force_capture().to_string();
    a + 1
}

fn builder(publish: Publish) -> Builder {
    let linux = Linux::reserve(&Options::default().publish(publish)).expect("executable memory");
    let engine = Engine::new(linux.table().expect("a table"), linux).expect("memory");
    Builder::new(Arc::new(engine)).expect("a code generator").symbol("look_around", look_around as *const u8)
}

/// Two functions, the second of which calls the first, which looks around.
fn chain(module: &mut CodeModule) -> [FuncId; 2] {
    let signature = signature(module);
    let mut callee = module.declare_function("look_around", Linkage::Import, &signature).expect("declared");
    ["inner", "outer"].map(|name| {
        callee = calls(module, name, callee);
        callee
    })
}

/// Whether a backtrace from inside a function shows what called it.
#[inline(never)]
fn is_seen_from(module: &CodeModule, id: FuncId) -> bool {
    let address = module.address(id).expect("finalized");
    // SAFETY: a function of two integers that calls one of the host.
    assert_eq!(unsafe { call(address, [41, 0, 0, 0]) }, 42);
    let seen = SEEN.lock().expect("no panic");
    assert!(seen.contains("look_around"), "{seen}");
    seen.contains("is_seen_from")
}

fn backtraces_pass_generated_code() {
    let _alone = LOOKING.lock().unwrap_or_else(PoisonError::into_inner);
    for publish in [Publish::Poke, Publish::Flip, Publish::ProcMem] {
        for is_described in [false, true] {
            let builder = builder(publish);
            let mut module = if is_described { builder.unwind() } else { builder }.build();
            let [inner, outer] = chain(&mut module);
            module.finalize_definitions().expect("defined");
            assert_eq!([inner, outer].map(|id| is_seen_from(&module, id)), [is_described; 2]);
            module.free_function(outer).expect("nobody calls it");
            assert_eq!(is_seen_from(&module, inner), is_described);
        }
    }
}

fn backtraces_pass_code_that_replaced_other() {
    let _alone = LOOKING.lock().unwrap_or_else(PoisonError::into_inner);
    let mut module = builder(Publish::Poke).hot_swap().unwind().build();
    let [inner, outer] = chain(&mut module);
    module.finalize_definitions().expect("defined");
    let signature = signature(&module);
    let host = module.declare_function("look_around", Linkage::Import, &signature).expect("declared");
    for _ in 0..3 {
        let mut context = compile_context(&mut module, |module, builder, [a, b]| {
            let host = module.declare_func_in_func(host, builder.func);
            let one = builder.ins().iadd_imm_s(b, 0);
            let call = builder.ins().call(host, &[a, one]);
            builder.inst_results(call)[0]
        });
        module.replace_function(inner, &mut context).expect("swapped");
        assert!(is_seen_from(&module, outer), "with the old code still there");
        module.free_retired();
        assert!(is_seen_from(&module, outer), "and without");
    }
}
