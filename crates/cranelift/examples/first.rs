//! Cranelift's functions in the engine that the process shares: compiled, called by their types, replaced and freed.
#![expect(unsafe_code, reason = "calls what it compiled")]
#![allow(clippy::print_stdout, reason = "an example talks to a terminal")]

use cranelift_codegen::Context;
use cranelift_codegen::ir::{AbiParam, InstBuilder as _, types::I64};
use cranelift_frontend::{FunctionBuilder, FunctionBuilderContext};
use cranelift_module::{Linkage, Module as _};
use execmem_cranelift::{Builder, CodeModule};

/// A function that adds a constant to its argument, in Cranelift's words.
fn adds(module: &CodeModule, constant: i64) -> Context {
    let mut context = module.make_context();
    context.func.signature.params.push(AbiParam::new(I64));
    context.func.signature.returns.push(AbiParam::new(I64));
    let mut buffer = FunctionBuilderContext::new();
    let mut builder = FunctionBuilder::new(&mut context.func, &mut buffer);
    let block = builder.create_block();
    builder.append_block_params_for_function_params(block);
    builder.switch_to_block(block);
    let parameter = builder.block_params(block)[0];
    let sum = builder.ins().iadd_imm_s(parameter, constant);
    builder.ins().return_(&[sum]);
    builder.seal_all_blocks();
    builder.finalize(module.target_config());
    context
}

/// Results before and after the function was replaced.
fn run() -> Result<(i64, i64), Box<dyn std::error::Error>> {
    let mut module = Builder::new(execmem_linux::shared()?)?.hot_swap().build();
    let mut first = adds(&module, 1);
    let id = module.declare_function("adds", Linkage::Export, &first.func.signature)?;
    module.define_function(id, &mut first)?;
    module.finalize_definitions()?;
    // SAFETY: the function has this signature, touches no memory, and is freed after its last call.
    let call = unsafe { module.as_fn::<extern "C" fn(i64) -> i64>(id) }.ok_or("finalized")?;
    let before = call(41);
    module.replace_function(id, &mut adds(&module, 2))?;
    let after = call(41); // at the same address
    module.free_retired();
    module.free_function(id)?;
    Ok((before, after))
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (before, after) = run()?;
    println!("41 + 1 = {before}, 41 + 2 = {after}");
    Ok(())
}

#[test]
fn a_function_is_replaced_at_its_address() {
    assert_eq!(run().expect("executable memory"), (42, 43));
}
