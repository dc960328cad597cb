//! Cranelift's code in packed, 2 MiB mapped, never writable and executable memory.
//!
//! [`CodeModule`] is a [`cranelift_module::Module`] over an [`execmem::Engine`]. Code is written at one address and
//! executed at another, so functions of a few bytes share a large page; each is
//! [freed](CodeModule::free_function) or [replaced](CodeModule::replace_function) alone, and dropping the module frees
//! them all. What does not reach is reached through a veneer, and what cannot be done is an error.
//!
//! A front end of [`JITModule`](cranelift_jit::JITModule) switches by its names in [`jit`].
//!
//! [`Provider`] is for code that has a [`JITModule`](cranelift_jit::JITModule) and wants to keep it: a
//! [`JITMemoryProvider`](cranelift_jit::JITMemoryProvider) in one window, whole pages a piece, since that trait knows
//! one address only.
//!
//! ```
//! use cranelift_codegen::ir::{AbiParam, InstBuilder as _, types::I64};
//! use cranelift_frontend::{FunctionBuilder, FunctionBuilderContext};
//! use cranelift_module::{Linkage, Module as _};
//! use execmem_cranelift::CodeModule;
//!
//! let mut module = CodeModule::on_linux()?;
//! let mut context = module.make_context();
//! context.func.signature.params.push(AbiParam::new(I64));
//! context.func.signature.returns.push(AbiParam::new(I64));
//! let mut buffer = FunctionBuilderContext::new();
//! let mut builder = FunctionBuilder::new(&mut context.func, &mut buffer);
//! let block = builder.create_block();
//! builder.append_block_params_for_function_params(block);
//! builder.switch_to_block(block);
//! let parameter = builder.block_params(block)[0];
//! let double = builder.ins().iadd(parameter, parameter);
//! builder.ins().return_(&[double]);
//! builder.seal_all_blocks();
//! builder.finalize(module.target_config());
//!
//! let id = module.declare_function("double", Linkage::Export, &context.func.signature)?;
//! module.define_function(id, &mut context)?;
//! module.finalize_definitions()?;
//! // Sound: Cranelift compiled a function of one integer that touches no memory.
//! let double = unsafe { module.as_fn::<extern "C" fn(i64) -> i64>(id) }.expect("finalized");
//! assert_eq!(double(21), 42);
//! module.free_function(id)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![deny(unsafe_code)]
#![expect(clippy::result_large_err, reason = "the error is Cranelift's")]

mod builder;
mod declare;
mod error;
mod frames;
mod free;
mod island;
pub mod jit;
mod libcalls;
mod memory;
mod module;
mod provider;
mod relocate;
mod resolve;
mod swap;
mod typed;

pub use builder::Builder;
pub use error::Error;
pub use module::CodeModule;
pub use provider::Provider;
