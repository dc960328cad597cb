//! The callers of execmem, on one engine.
//!
//! - [`module`]: a loader for relocatable ELF modules, kernel modules among them. Each kind of section goes to memory of
//!   its kind; all of a module is loaded, or nothing is.
//! - [`veneer`]: direct branches that lead further than they reach, in and to far windows.
//!
//! A client is generic over the memory: what runs here on real memory runs unchanged on the simulated machine.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod error;
pub mod module;
mod name;
pub mod veneer;

pub use error::{Error, Field};
pub use name::Name;
