//! What is compiled: functions of one integer, of up to a few hundred bytes, whose answers can be computed here.

use anyhow::Result;
use cranelift_codegen::Context;
use cranelift_codegen::ir::{AbiParam, InstBuilder as _, types::I64};
use cranelift_frontend::{FunctionBuilder, FunctionBuilderContext};
use cranelift_module::{FuncId, Module};

use crate::random::Random;

/// What functions are called with.
pub(crate) const ARGUMENT: u64 = 0x0123_4567_89ab_cdef;

/// Steps of a function at most.
const STEPS: usize = 12;

/// A function: steps that each combine the value so far with a constant.
#[derive(Debug)]
pub(crate) struct Recipe(Vec<(i64, u8)>);

impl Recipe {
    pub(crate) fn new(random: &mut Random) -> Self {
        let steps = random.range(1, STEPS + 1);
        let mut step = || {
            let [high, low] = [random.below(1 << 31), random.below(1 << 31)];
            ((high << 32 | low).cast_signed() as i64, u8::try_from(random.range(1, 64)).unwrap_or(1))
        };
        Recipe((0..steps).map(|_| step()).collect())
    }

    /// What the function returns.
    pub(crate) fn answer(&self, argument: u64) -> u64 {
        let step = |value: u64, (constant, bits): &(i64, u8)| {
            (value ^ constant.cast_unsigned()).rotate_left(u32::from(*bits)).wrapping_add(value)
        };
        self.0.iter().fold(argument, step)
    }
}

/// What a compiler uses again and again.
pub(crate) struct Workshop {
    context: Context,
    buffer: FunctionBuilderContext,
}

impl Default for Workshop {
    fn default() -> Self {
        Workshop { context: Context::new(), buffer: FunctionBuilderContext::new() }
    }
}

impl Workshop {
    /// Declares a function without a name.
    pub(crate) fn declare(&mut self, module: &mut impl Module) -> Result<FuncId> {
        let mut signature = module.make_signature();
        signature.params.push(AbiParam::new(I64));
        signature.returns.push(AbiParam::new(I64));
        Ok(module.declare_anonymous_function(&signature)?)
    }

    /// Compiles a function into a module.
    pub(crate) fn define(&mut self, module: &mut impl Module, id: FuncId, recipe: &Recipe) -> Result<()> {
        module.clear_context(&mut self.context);
        self.context.func.signature = module.declarations().get_function_decl(id).signature.clone();
        let mut builder = FunctionBuilder::new(&mut self.context.func, &mut self.buffer);
        let block = builder.create_block();
        builder.append_block_params_for_function_params(block);
        builder.switch_to_block(block);
        let mut value = builder.block_params(block)[0];
        for (constant, bits) in &recipe.0 {
            let constant = builder.ins().iconst(I64, *constant);
            let mixed = builder.ins().bxor(value, constant);
            let bits = builder.ins().iconst(I64, i64::from(*bits));
            let turned = builder.ins().rotl(mixed, bits);
            value = builder.ins().iadd(turned, value);
        }
        builder.ins().return_(&[value]);
        builder.seal_all_blocks();
        builder.finalize(module.target_config());
        Ok(module.define_function(id, &mut self.context)?)
    }
}
