//! The callers of execmem, on one engine.
//!
//! - [`module`]: a loader for relocatable ELF modules, kernel modules among them. Each kind of section goes to memory of
//!   its kind; all of a module is loaded, or nothing is.
//! - [`kprobe`]: slots for instructions that are executed elsewhere than where they stand.
//! - [`bpf`]: programs with a writable twin, trampolines, dispatchers.
//! - [`ftrace`]: trampolines of tracers, and sites that call them; [`patch`]: how an instruction is replaced while others
//!   execute it; [`site`]: in which code, that of a module, of an image, or the caller's own.
//! - [`by_address`]: code for crates that know it by its address alone.
//! - [`prog_pack`]: the policy that BPF had before, to compare with.
//! - [`shadow`], [`bpf::FlushPredictors`]: hooks of an engine that map KASAN's shadow, and flush predictors.
//! - [`veneer`]: direct branches that lead further than they reach, in and to far windows.
//!
//! A client is generic over the memory, the set of [kinds](ModuleKinds) and the way to its engine (a reference, an `Arc`): what
//! runs here on real memory runs unchanged on the simulated machine. It names
//! what it holds by [`Id`]s, which go stale when the thing is freed, and charges every byte to an account ([`Usage`]).
//!
//! ```
//! use execmem::Engine;
//! use execmem_arch_x86::TABLE;
//! use execmem_clients::Credit;
//! use execmem_clients::bpf::{Bpf, Options, ProgramRequest, Trust};
//! use execmem_sim::Sim;
//!
//! let engine = Engine::new(TABLE, Sim::new(TABLE.machine()))?;
//! let programs = Bpf::new(&engine, Options { limit: 1 << 20, seed: 1, flush_predictors: || {} });
//!
//! let request = ProgramRequest { len: 6, align: 16, trust: Trust::Trusted, credit: Credit::Limited };
//! let mut program = programs.alloc(&request)?;
//! program.image_mut().copy_from_slice(&[0xb8, 42, 0, 0, 0, 0xc3]); // mov eax, 42; ret
//! let program = program.finalize()?;
//!
//! let entry = programs.image(program)?.start();
//! assert_eq!(programs.find(entry + 5), Some(program));
//! programs.free(program)?;
//! assert!(programs.free(program).is_err()); // the name is stale
//! # Ok::<(), Box<dyn core::error::Error>>(())
//! ```
//!
//! # Features
//!
//! `x86-decoder` (by default): copies of x86 instructions for probes; the decoder's tables take 337 KB of heap that never comes
//! back.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod account;
pub mod bpf;
pub mod by_address;
mod client;
mod encoding;
mod error;
mod field;
pub mod ftrace;
mod growth;
mod kinds;
pub mod kprobe;
pub mod module;
mod name;
pub mod patch;
pub mod prog_pack;
mod registry;
pub mod shadow;
pub mod site;
pub mod veneer;

pub use account::{Credit, Usage};
pub use error::Error;
pub use field::Field;
pub use kinds::{BpfKinds, FtraceKinds, KprobeKinds, ModuleKinds};
pub use name::Name;
pub use registry::Id;
