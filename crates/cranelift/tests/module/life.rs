//! What happens to functions after they are defined: freed, replaced, out of reach, refused.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use cranelift_codegen::ir::{ExtFuncData, ExternalName, InstBuilder as _, MemFlagsData, UserExternalName, types::I64};
use cranelift_codegen::settings::{self, Configurable as _};
use cranelift_module::{DataDescription, FuncId, Linkage, Module as _, ModuleError};
use execmem::{Engine, Kind};
use execmem_cranelift::{Builder, CodeModule, Error};
use execmem_linux::{Linux, Options, Place, Publish, call};

use crate::generator::{calls, compile_context, define, signature};

skip::tests! {
    a_call_out_of_reach_goes_through_a_veneer
    position_independent_code_finds_its_table_of_addresses
    functions_are_freed_one_by_one_and_their_memory_is_used_again
    what_others_call_is_not_freed
    entries_of_functions_begin_with_landing_pads_on_request
    a_replaced_function_runs_its_new_code_at_the_old_address
    only_modules_built_for_it_replace_functions
    a_name_that_nothing_defines_is_an_error_that_can_be_mended
    data_lives_in_memory_of_its_kind
}

fn engine(options: &Options) -> Arc<Engine<Linux>> {
    let linux = Linux::reserve(options).expect("executable memory");
    Arc::new(Engine::new(linux.table().expect("a table"), linux).expect("memory"))
}

pub(crate) fn module() -> CodeModule {
    Builder::new(engine(&Options::default())).expect("a code generator").build()
}

pub(crate) fn run(module: &CodeModule, id: FuncId, a: u64, b: u64) -> u64 {
    let address = module.address(id).expect("finalized");
    // SAFETY: the functions of these tests take two integers, end, and are not freed meanwhile.
    unsafe { call(address, [a, b, 0, 0]) }
}

/// A function that adds a constant to its first parameter.
pub(crate) fn adds(module: &mut CodeModule, name: &str, constant: i64) -> FuncId {
    let signature = signature(module);
    let id = module.declare_function(name, Linkage::Export, &signature).expect("declared");
    define(module, id, |_, builder, [a, _]| builder.ins().iadd_imm_s(a, constant)).expect("defined");
    id
}

pub(crate) extern "C" fn host(a: u64, b: u64) -> u64 {
    a.wrapping_mul(b)
}

/// A module whose code calls `host` as if it were near.
fn calls_host_directly(builder: Builder) -> (CodeModule, FuncId) {
    let mut module = builder.symbol("host", host as *const u8).build();
    let signature = signature(&module);
    let import = module.declare_function("host", Linkage::Import, &signature).expect("declared");
    let id = module.declare_function("caller", Linkage::Export, &signature).expect("declared");
    define(&mut module, id, |_, builder, parameters| {
        let name = UserExternalName { namespace: 0, index: import.as_u32() };
        let name = ExternalName::user(builder.func.declare_imported_user_function(name));
        let signature = builder.func.import_signature(signature);
        let data = ExtFuncData { name, signature, colocated: true, patchable: false };
        let callee = builder.func.import_function(data);
        let call = builder.ins().call(callee, &parameters);
        builder.inst_results(call)[0]
    })
    .expect("defined");
    (module, id)
}

fn a_call_out_of_reach_goes_through_a_veneer() {
    for place in [Place::Anywhere, Place::NearProgram] {
        let engine = engine(&Options::default().place(place).window(64 << 20));
        let reach = engine.facts().machine().reach();
        let is_near = reach.reaches(engine.facts().window().start(), host as *const u8 as usize as u64);
        assert_eq!(is_near, place == Place::NearProgram, "the program is far from where the system maps");
        let (mut module, id) = calls_host_directly(Builder::new(engine).expect("a code generator"));
        module.finalize_definitions().expect("reached");
        assert_eq!(run(&module, id, 6, 7), 42);
    }
}

fn position_independent_code_finds_its_table_of_addresses() {
    let mut flags = settings::builder();
    flags.set("is_pic", "true").expect("a flag");
    let isa = cranelift_native::builder().expect("this machine").finish(settings::Flags::new(flags)).expect("flags");
    let engine = engine(&Options::default().place(Place::Anywhere));
    let (mut module, id) = calls_host_directly(Builder::with_isa(engine, isa).expect("known"));
    let value = module.declare_data("value", Linkage::Preemptible, false, false).expect("declared");
    let mut data = DataDescription::new();
    data.define(Box::new(35_u64.to_ne_bytes()));
    module.define_data(value, &data).expect("defined");
    let signature = signature(&module);
    let loads = module.declare_function("loads", Linkage::Export, &signature).expect("declared");
    define(&mut module, loads, |module, builder, [a, _]| {
        let value = module.declare_data_in_func(value, builder.func);
        let value = builder.ins().symbol_value(I64, value);
        let value = builder.ins().load(I64, MemFlagsData::trusted(), value, 0);
        builder.ins().iadd(a, value)
    })
    .expect("defined");
    module.finalize_definitions().expect("reached");
    assert_eq!((run(&module, id, 6, 7), run(&module, loads, 7, 0)), (42, 42));
}

fn functions_are_freed_one_by_one_and_their_memory_is_used_again() {
    for publish in [Publish::Poke, Publish::Flip, Publish::ProcMem] {
        let engine = engine(&Options::default().publish(publish));
        compile_call_and_free(Builder::new(engine).expect("a code generator").build());
    }
}

fn compile_call_and_free(mut module: CodeModule) {
    let first = adds(&mut module, "first", 1);
    module.finalize_definitions().expect("defined");
    let address = module.address(first);
    let live = |module: &CodeModule| module.engine().stats().bytes_mapped();
    let before = live(&module);
    for round in 0..1000 {
        module.free_function(first).expect("nobody calls it");
        assert!(module.address(first).is_none());
        define(&mut module, first, |_, builder, [a, _]| builder.ins().iadd_imm_s(a, round)).expect("defined again");
        module.finalize_definitions().expect("defined");
        assert_eq!(run(&module, first, 1, 0), 1 + round.cast_unsigned());
    }
    assert_eq!((module.address(first), live(&module)), (address, before));
    assert!(matches!(
        module.define_function(first, &mut module.make_context()),
        Err(ModuleError::DuplicateDefinition(_))
    ));
}

fn what_others_call_is_not_freed() {
    let mut module = module();
    let callee = adds(&mut module, "callee", 1);
    let caller = calls(&mut module, "caller", callee);
    module.finalize_definitions().expect("defined");
    let error = module.free_function(callee).expect_err("called");
    assert!(matches!(error, Error::StillReferenced { count: 1, .. }), "{error}");
    assert_eq!(run(&module, caller, 41, 0), 42);
    module.free_functions(&[callee, caller]).expect("together");
    let error = module.free_function(callee).expect_err("gone");
    assert!(matches!(error, Error::NotDefined { .. }), "{error}");
    module.engine().audit().expect("audit");
}

fn entries_of_functions_begin_with_landing_pads_on_request() {
    const ENDBR64: [u8; 4] = [0xf3, 0x0f, 0x1e, 0xfa];
    for is_asked_for in [false, true] {
        let builder = Builder::new(engine(&Options::default())).expect("a code generator").hot_swap();
        let mut module = if is_asked_for { builder.landing_pads() } else { builder }.build();
        let callee = adds(&mut module, "callee", 1);
        let caller = calls(&mut module, "caller", callee);
        module.finalize_definitions().expect("defined");
        let entry = module.address(callee).expect("finalized");
        let bytes = std::ptr::with_exposed_provenance::<[u8; 4]>(usize::try_from(entry).expect("an address"));
        // SAFETY: published code of at least that length, which lives.
        let begins_so = unsafe { bytes.read_unaligned() } == ENDBR64;
        assert!(module.isa().name() != "x64" || begins_so == is_asked_for);
        let before = run(&module, caller, 0, 0);
        let mut context = compile_context(&mut module, |_, builder, [a, _]| builder.ins().iadd_imm_s(a, 2));
        module.replace_function(callee, &mut context).expect("swapped");
        assert_eq!(run(&module, caller, 0, 0), before + 1);
    }
}

fn a_replaced_function_runs_its_new_code_at_the_old_address() {
    let mut module = Builder::new(engine(&Options::default())).expect("a code generator").hot_swap().build();
    let callee = adds(&mut module, "callee", 1);
    let caller = calls(&mut module, "caller", callee);
    module.finalize_definitions().expect("defined");
    let address = module.address(callee);
    let is_over = AtomicBool::new(false);
    let entry = module.address(caller).expect("finalized");
    std::thread::scope(|scope| {
        let runners: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    let mut last = 0;
                    while !is_over.load(Ordering::Relaxed) {
                        // SAFETY: both functions stay defined until the threads end; only their code is replaced.
                        let value = unsafe { call(entry, [0; 4]) };
                        assert!(value >= last && value <= 500, "{value} after {last}");
                        last = value;
                    }
                })
            })
            .collect();
        for constant in 2..=500 {
            let mut context = compile_context(&mut module, |_, builder, [a, _]| builder.ins().iadd_imm_s(a, constant));
            module.replace_function(callee, &mut context).expect("swapped");
        }
        is_over.store(true, Ordering::Relaxed);
        runners.into_iter().for_each(|runner| runner.join().expect("every call saw old code or new"));
    });
    module.free_retired();
    assert_eq!((run(&module, caller, 0, 0), module.address(callee)), (500, address));
    let engine = module.engine().clone();
    drop(module);
    engine.shrink();
    assert_eq!(engine.stats().bytes_mapped(), 0);
}

fn only_modules_built_for_it_replace_functions() {
    let mut module = module();
    let id = adds(&mut module, "function", 1);
    module.finalize_definitions().expect("defined");
    let mut context = compile_context(&mut module, |_, builder, [a, _]| builder.ins().iadd_imm_s(a, 2));
    let error = module.replace_function(id, &mut context).expect_err("not swappable");
    assert!(error.to_string().contains("hot swap"), "{error}");
    assert_eq!(run(&module, id, 1, 0), 2);
}

fn a_name_that_nothing_defines_is_an_error_that_can_be_mended() {
    let mut module = module();
    let signature = signature(&module);
    let missing = module.declare_function("missing_everywhere", Linkage::Export, &signature).expect("declared");
    let caller = calls(&mut module, "caller", missing);
    let error = module.finalize_definitions().expect_err("unresolved");
    assert!(matches!(&error, Error::Unresolved { name } if name == "missing_everywhere"), "{error}");
    assert!(module.address(caller).is_none());
    define(&mut module, missing, |_, builder, [a, _]| builder.ins().iadd_imm_s(a, 1)).expect("defined");
    module.finalize_definitions().expect("everything is there");
    assert_eq!(run(&module, caller, 41, 0), 42);
}

fn data_lives_in_memory_of_its_kind() {
    let mut module = module();
    let function = adds(&mut module, "function", 2);
    let text = Box::new(*b"constant");
    let mut ids = Vec::new();
    for (name, writable) in [("constant", false), ("variable", true)] {
        let id = module.declare_data(name, Linkage::Export, writable, false).expect("declared");
        let mut data = DataDescription::new();
        data.define(if writable { Box::new([0; 16]) } else { text.clone() });
        data.set_align(256);
        if writable {
            let function = module.declare_func_in_data(function, &mut data);
            data.write_function_addr(8, function);
        }
        module.define_data(id, &data).expect("defined");
        ids.push(id);
    }
    module.finalize_definitions().expect("defined");
    let [(constant, len), (variable, _)] = [0, 1].map(|index| module.data(ids[index]).expect("finalized"));
    assert_eq!((constant % 256, variable % 256, len), (0, 0, 8));
    let kind = |address| module.engine().find(address).map(|found| found.kind);
    assert_eq!((kind(constant), kind(variable)), (Some(Kind::RoData), Some(Kind::Data)));
    // SAFETY: the module holds eight bytes there that no thread writes, and a word after eight more.
    let (bytes, pointer) = unsafe { read(constant, variable + 8) };
    assert_eq!((&bytes, Some(pointer)), (b"constant", module.address(function)));
    assert!(matches!(module.free_function(function), Err(Error::StillReferenced { .. })));
    module.free_data(ids[1]).expect("nobody refers to it");
    module.free_function(function).expect("nor to this");
    assert!(module.declare_data("local", Linkage::Local, true, true).is_err(), "no thread-local data");
}

/// Reads eight bytes and a word.
///
/// # Safety
///
/// Both must be mapped readable, and be written by no thread.
unsafe fn read(bytes: u64, word: u64) -> ([u8; 8], u64) {
    let pointer = |address| std::ptr::with_exposed_provenance::<u8>(usize::try_from(address).expect("an address"));
    // SAFETY: the caller's.
    let bytes = unsafe { pointer(bytes).cast::<[u8; 8]>().read_unaligned() };
    // SAFETY: the caller's.
    let word = unsafe { pointer(word).cast::<u64>().read_unaligned() };
    (bytes, word)
}
