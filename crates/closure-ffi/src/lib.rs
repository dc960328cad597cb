//! Closures as C function pointers in packed, 2 MiB mapped, never writable and executable memory.
//!
//! [`closure_ffi`] copies a thunk, some dozen bytes of code, for each closure that becomes a bare function pointer.
//! [`ThunkMemory`] is where: an [`execmem::Engine`], by default the one that the process shares.
//!
//! ```
//! use closure_ffi::BareFnMut;
//! use execmem_closure_ffi::ThunkMemory;
//!
//! let memory = ThunkMemory::shared()?;
//! let mut sum = 0;
//! let adder = BareFnMut::new_c_in(|number: u32| sum += number, memory);
//! // Sound: `adder` lives as long as it is called, by one caller at a time.
//! (1..=4).for_each(|number| unsafe { adder.bare()(number) });
//! drop(adder);
//! assert_eq!(sum, 10);
//! # Ok::<(), execmem_closure_ffi::Error>(())
//! ```
//!
//! For all closures of a program, without a memory at each call: the macro `closure_ffi::global_jit_alloc` takes a static of type
//! `LazyLock<ThunkMemory>`, where closure-ffi has the feature `global_jit_alloc` and not `default_jit_alloc`.
//!
//! This is for closure-ffi 4.1.
#![deny(unsafe_code)]

mod error;
mod memory;

pub use error::Error;
pub use memory::ThunkMemory;
