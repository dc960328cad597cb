//! Beside Cranelift's own module: its names, and what it refuses by panics.

use cranelift_codegen::binemit::Reloc;
use cranelift_codegen::ir::InstBuilder as _;
use cranelift_module::{
    DataDescription, Linkage, Module as _, ModuleError, ModuleReloc, ModuleRelocTarget, default_libcall_names,
};
use execmem_cranelift::Error;
use execmem_linux::call;

use crate::generator::{define, signature};
use crate::life::{adds, host, module, run};

skip::tests! {
    thread_local_data_is_refused_and_nothing_else_is_held_up
    a_front_end_of_cranelifts_own_module_changes_its_types_only
}

fn thread_local_data_is_refused_and_nothing_else_is_held_up() {
    let mut module = module();
    let is_refused = |outcome: Result<(), ModuleError>| match outcome {
        Err(ModuleError::Backend(error)) => error.downcast_ref::<Error>().map(|error| format!("{error}")),
        other => panic!("{other:?}"),
    };
    let refusal = Some(Error::ThreadLocal.to_string());
    assert_eq!(is_refused(module.declare_data("tls", Linkage::Export, true, true).map(drop)), refusal);
    assert_eq!(is_refused(module.declare_anonymous_data(true, true).map(drop)), refusal);
    let signature = signature(&module);
    let id = module.declare_function("reads", Linkage::Export, &signature).expect("declared");
    let reference = |kind| {
        let name = ModuleRelocTarget::user(0, id.as_u32());
        [ModuleReloc { offset: 0, kind, name, addend: 0 }]
    };
    let tls = module.define_function_bytes(id, 16, &[0; 16], &reference(Reloc::ElfX86_64TlsGd));
    assert_eq!(is_refused(tls), refusal);
    let unknown = module.define_function_bytes(id, 16, &[0; 16], &reference(Reloc::S390xPCRel32Dbl));
    let kind = Reloc::S390xPCRel32Dbl;
    assert_eq!(is_refused(unknown), Some(Error::UnknownReference { kind }.to_string()));
    let nothing = module.declare_data("nothing", Linkage::Export, true, false).expect("declared");
    let undefined = module.define_data(nothing, &DataDescription::new());
    assert!(matches!(undefined, Err(ModuleError::Backend(_))), "{undefined:?}");
    let other = adds(&mut module, "other", 1);
    module.finalize_definitions().expect("the rest is sound");
    assert_eq!((module.address(id), run(&module, other, 41, 0)), (None, 42));
}

fn a_front_end_of_cranelifts_own_module_changes_its_types_only() {
    macro_rules! front_end {
        ($jit:path) => {{
            use $jit::{JITBuilder, JITModule};

            let mut builder =
                JITBuilder::with_flags(&[("opt_level", "speed")], default_libcall_names()).expect("flags");
            builder.symbol("host", host as *const u8).symbols([("other", host as *const u8)]);
            builder.symbol_lookup_fn(Box::new(|name| (name == "found").then_some(host as *const u8)));
            let mut module = JITModule::new(builder);
            let (mut results, mut ids) = (Vec::new(), Vec::new());
            for name in ["host", "other", "found"] {
                let signature = signature(&module);
                let import = module.declare_function(name, Linkage::Import, &signature).expect("declared");
                let id = module.declare_anonymous_function(&signature).expect("declared");
                define(&mut module, id, |module, builder, parameters| {
                    let callee = module.declare_func_in_func(import, builder.func);
                    let call = builder.ins().call(callee, &parameters);
                    builder.inst_results(call)[0]
                })
                .expect("defined");
                ids.push(id);
            }
            let data = module.declare_data("data", Linkage::Local, false, false).expect("declared");
            let mut contents = DataDescription::new();
            contents.define(Box::new([1, 2, 3]));
            module.define_data(data, &contents).expect("defined");
            module.finalize_definitions().expect("finalized");
            for id in ids {
                let address = module.get_finalized_function(id).addr() as u64;
                // SAFETY: the functions take two integers, end, and are not freed meanwhile.
                results.push(unsafe { call(address, [6, 7, 0, 0]) });
            }
            let (address, len) = module.get_finalized_data(data);
            // SAFETY: the data was finalized just now, and has this length.
            let bytes = unsafe { std::slice::from_raw_parts(address, len) }.to_vec();
            // SAFETY: nothing calls the functions any more.
            unsafe { module.free_memory() };
            (results, bytes)
        }};
    }
    let stock = front_end!(cranelift_jit);
    assert_eq!(stock, (vec![42; 3], vec![1, 2, 3]));
    assert_eq!(front_end!(execmem_cranelift::jit), stock);
    let mut builder = execmem_cranelift::jit::JITBuilder::new(default_libcall_names()).expect("a code generator");
    builder.symbol("host", std::ptr::null());
    let mut module = execmem_cranelift::jit::JITModule::new(builder);
    let id = adds(&mut module, "pending", 1);
    assert!(module.get_finalized_function(id).is_null());
}
