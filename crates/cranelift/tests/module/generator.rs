//! Random functions of two integers: arithmetic, branches, calls of earlier functions, constants and variables in data.

use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{AbiParam, InstBuilder as _, MemFlagsData, Signature, Value, types::I64};
use cranelift_frontend::{FunctionBuilder, FunctionBuilderContext};
use cranelift_module::{DataDescription, DataId, FuncId, Linkage, Module};
use execmem_sim::Random;

/// The signature of every function: two integers to one.
pub(crate) fn signature(module: &impl Module) -> Signature {
    let mut signature = module.make_signature();
    signature.params.extend([AbiParam::new(I64), AbiParam::new(I64)]);
    signature.returns.push(AbiParam::new(I64));
    signature
}

/// Defines a function whose body is made by `body` from its parameters.
pub(crate) fn define<M: Module>(
    module: &mut M,
    id: FuncId,
    body: impl FnOnce(&mut M, &mut FunctionBuilder<'_>, [Value; 2]) -> Value,
) -> cranelift_module::ModuleResult<()> {
    let mut context = compile_context(module, body);
    module.define_function(id, &mut context)
}

/// The same up to what is compiled.
pub(crate) fn compile_context<M: Module>(
    module: &mut M,
    body: impl FnOnce(&mut M, &mut FunctionBuilder<'_>, [Value; 2]) -> Value,
) -> cranelift_codegen::Context {
    let mut context = module.make_context();
    context.func.signature = signature(module);
    let mut buffer = FunctionBuilderContext::new();
    let mut builder = FunctionBuilder::new(&mut context.func, &mut buffer);
    let block = builder.create_block();
    builder.append_block_params_for_function_params(block);
    builder.switch_to_block(block);
    let parameters = [builder.block_params(block)[0], builder.block_params(block)[1]];
    let result = body(module, &mut builder, parameters);
    builder.ins().return_(&[result]);
    builder.seal_all_blocks();
    builder.finalize(module.target_config());
    context
}

/// A function that calls another.
pub(crate) fn calls(module: &mut impl Module, name: &str, callee: FuncId) -> FuncId {
    let signature = signature(module);
    let id = module.declare_function(name, Linkage::Export, &signature).expect("declared");
    define(module, id, |module, builder, parameters| {
        let callee = module.declare_func_in_func(callee, builder.func);
        let call = builder.ins().call(callee, &parameters);
        builder.inst_results(call)[0]
    })
    .expect("defined");
    id
}

/// Defines functions and the data they use.
pub(crate) fn define_functions(module: &mut impl Module, count: usize, seed: u64) -> Vec<FuncId> {
    let mut random = Random::new(seed);
    let signature = signature(module);
    let constants = data(module, &format!("constants{seed}"), false);
    let variables = data(module, &format!("variables{seed}"), true);
    let mut ids: Vec<FuncId> = Vec::new();
    for index in 0..count {
        let name = format!("function{seed}_{index}");
        let id = module.declare_function(&name, Linkage::Export, &signature).expect("a new name");
        let mut generator = Generator { random: Random::new(random.number()), earlier: &ids, constants, variables };
        define(module, id, |module, builder, parameters| generator.body(module, builder, parameters)).expect("defined");
        ids.push(id);
    }
    ids
}

fn data(module: &mut impl Module, name: &str, writable: bool) -> DataId {
    let id = module.declare_data(name, Linkage::Local, writable, false).expect("a new name");
    let mut description = DataDescription::new();
    description.define((0..=255).collect());
    description.set_align(64);
    module.define_data(id, &description).expect("defined");
    id
}

struct Generator<'a> {
    random: Random,
    earlier: &'a [FuncId],
    constants: DataId,
    variables: DataId,
}

impl Generator<'_> {
    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.random.below(limit as u64)).expect("below a usize")
    }

    fn body(&mut self, module: &mut impl Module, builder: &mut FunctionBuilder<'_>, parameters: [Value; 2]) -> Value {
        let mut values = parameters.to_vec();
        let mut calls = 0;
        for _ in 0..5 + self.below(40) {
            let (a, b) = (values[self.below(values.len())], values[self.below(values.len())]);
            let value = match self.below(12) {
                0 => builder.ins().iadd(a, b),
                1 => builder.ins().isub(a, b),
                2 => builder.ins().imul(a, b),
                3 => builder.ins().bxor(a, b),
                4 => builder.ins().ishl(a, b),
                5 => builder.ins().ushr(a, b),
                6 => builder.ins().iconst(I64, self.random.number().cast_signed()),
                7 => branch(builder, a, b),
                8 => self.load(module, builder),
                9 => self.update(module, builder, a),
                10 => rounded(builder, a),
                // At most one, and of the last few: the time to run stays small.
                _ if calls == 0 && !self.earlier.is_empty() => {
                    calls += 1;
                    let near = self.earlier.len().min(8);
                    let callee = self.earlier[self.earlier.len() - 1 - self.below(near)];
                    let callee = module.declare_func_in_func(callee, builder.func);
                    let call = builder.ins().call(callee, &[a, b]);
                    builder.inst_results(call)[0]
                }
                _ => builder.ins().band(a, b),
            };
            values.push(value);
        }
        values.iter().copied().reduce(|sum, value| builder.ins().bxor(sum, value)).expect("two at least")
    }

    fn load(&mut self, module: &impl Module, builder: &mut FunctionBuilder<'_>) -> Value {
        let data = module.declare_data_in_func(self.constants, builder.func);
        let start = builder.ins().symbol_value(I64, data);
        let offset = i32::try_from(self.below(31) * 8).expect("small");
        builder.ins().load(I64, MemFlagsData::trusted(), start, offset)
    }

    /// Stores and loads again, so that the result does not depend on what ran before.
    fn update(&mut self, module: &impl Module, builder: &mut FunctionBuilder<'_>, value: Value) -> Value {
        let data = module.declare_data_in_func(self.variables, builder.func);
        let start = builder.ins().symbol_value(I64, data);
        let offset = i32::try_from(self.below(31) * 8).expect("small");
        builder.ins().store(MemFlagsData::trusted(), value, start, offset);
        builder.ins().load(I64, MemFlagsData::trusted(), start, offset)
    }
}

/// The larger of two, by a branch.
fn branch(builder: &mut FunctionBuilder<'_>, a: Value, b: Value) -> Value {
    let [then, otherwise, end] = [0; 3].map(|_| builder.create_block());
    let result = builder.append_block_param(end, I64);
    let is_less = builder.ins().icmp(IntCC::SignedLessThan, a, b);
    builder.ins().brif(is_less, then, &[], otherwise, &[]);
    for (block, value) in [(then, b), (otherwise, a)] {
        builder.switch_to_block(block);
        builder.ins().jump(end, &[value.into()]);
    }
    builder.switch_to_block(end);
    result
}

/// To a float, rounded, and back: a call of a library function on machines without such an instruction.
fn rounded(builder: &mut FunctionBuilder<'_>, value: Value) -> Value {
    let float = builder.ins().fcvt_from_sint(cranelift_codegen::ir::types::F64, value);
    let half = builder.ins().f64const(0.5);
    let scaled = builder.ins().fmul(float, half);
    let nearest = builder.ins().nearest(scaled);
    let fused = builder.ins().fma(nearest, half, half);
    builder.ins().fcvt_to_sint_sat(I64, fused)
}
