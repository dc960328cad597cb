//! 1,000 modules that LLVM compiles by way of inkwell, in the memory of execmem.

mod sections;

use std::error::Error;

use execmem::{Engine, Kind};
use execmem_linux::{Linux, proc};
use inkwell::context::Context;
use inkwell::execution_engine::ExecutionEngine;
use inkwell::targets::CodeModel;
use inkwell::{AtomicOrdering, AtomicRMWBinOp, OptimizationLevel};

use sections::Sections;

const MODULES: u64 = 1000;

/// run(n): `n` times the calls so far, which a variable of the module counts, and `number`.
fn compile<'c>(
    context: &'c Context,
    memory: &'static Engine<Linux>,
    number: u64,
) -> Result<ExecutionEngine<'c>, Box<dyn Error>> {
    let (module, at, integer) = (context.create_module("module"), context.create_builder(), context.i64_type());
    let calls = module.add_global(integer, None, "calls");
    calls.set_initializer(&integer.const_zero());
    let run = module.add_function("run", integer.fn_type(&[integer.into()], false), None);
    at.position_at_end(context.append_basic_block(run, "begin"));
    let (add, order) = (AtomicRMWBinOp::Add, AtomicOrdering::Monotonic);
    let so_far = at.build_atomicrmw(add, calls.as_pointer_value(), integer.const_int(1, false), order)?;
    let argument = run.get_first_param().ok_or("no parameter")?.into_int_value();
    let product = at.build_int_mul(argument, so_far, "")?;
    at.build_return(Some(&at.build_int_add(product, integer.const_int(number, false), "")?))?;
    let level = OptimizationLevel::None;
    let sections = Sections::new(memory);
    // The default model has references of 32 bits, which all of one window allows.
    let engine =
        module.create_mcjit_execution_engine_with_memory_manager(sections, level, CodeModel::JITDefault, true, true)?;
    Ok(engine)
}

/// How many of three calls are right.
fn call(engine: &ExecutionEngine<'_>, number: u64) -> Result<usize, Box<dyn Error>> {
    // SAFETY: the module has a function of that name and type.
    let run = unsafe { engine.get_function::<unsafe extern "C" fn(u64) -> u64>("run") }?;
    // SAFETY: the function touches its own variable only, and `run` keeps it.
    Ok((0..3).filter(|calls| unsafe { run.call(7) } == 7 * calls + number).count())
}

fn main() -> Result<(), Box<dyn Error>> {
    let (memory, context) = (sections::engine()?, Context::create());
    let before = proc::areas()?.len();
    let mut engines = Vec::new();
    let mut right = 0;
    for number in 0..MODULES {
        engines.push(compile(&context, memory, number)?);
        right += call(&engines[engines.len() - 1], number)?;
    }
    let live = memory.kind_stats(Kind::Text).live;
    println!("{MODULES} modules, {right} of {} calls right", 3 * MODULES);
    println!("{live} allocations of code, {} mappings more", proc::areas()?.len() - before);
    drop(engines);
    let left = [Kind::Text, Kind::Data, Kind::RoData].map(|kind| memory.kind_stats(kind).live);
    if right as u64 != 3 * MODULES || left != [0; 3] {
        return Err(format!("{left:?} allocations are left").into());
    }
    Ok(())
}
