//! Wasmtime's code in 2 MiB mapped, never writable and executable memory of one window.
//!
//! [`CodeMemory`] places compiled modules in an [`execmem::Engine`]. An image is copied once, through another mapping,
//! to where it is executed: no mapping per module, no change of rights, and calls between modules and to the program
//! stay within reach. Wasmtime refers to the image where it lies; its memory comes back when Wasmtime has dropped the
//! module and everything made from it.
//!
//! ```
//! # #[cfg(feature = "compile")] {
//! use execmem_wasmtime::CodeMemory;
//! use wasmtime::{Config, Engine, Instance, Store};
//!
//! let memory = CodeMemory::on_linux()?;
//! let engine = Engine::new(memory.serve(&mut Config::new()))?;
//! // Text needs Wasmtime's feature `wat`; binaries do not.
//! let wasm = br#"(func (export "double") (param i32) (result i32) (i32.add (local.get 0) (local.get 0)))"#;
//! let module = memory.compile(&engine, wasm)?;
//! let mut store = Store::new(&engine, ());
//! let instance = Instance::new(&mut store, &module, &[])?;
//! let double = instance.get_typed_func::<i32, i32>(&mut store, "double")?;
//! assert_eq!(double.call(&mut store, 21)?, 42);
//! # }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Features
//!
//! `compile` (by default): compiling WebAssembly in this process. Without it, only precompiled images are placed.
//!
//! # What an image is
//!
//! One file with code, constants and tables for traps, all of which Wasmtime reads in place: so all of it is readable
//! and executable, and none of it writable where it is executed. With [`execmem_linux::Publish::Poke`] several images
//! share one large page.
//!
//! # What is not placed
//!
//! An engine of such a configuration takes stock modules too: `Module::new`, `deserialize` and components map memory of their
//! own, whose rights change as Wasmtime would change them. [`CodeMemory::outside`] counts what lies there. So a program can
//! begin with the one line that calls [`serve`](CodeMemory::serve), and place its modules one after the other.
//!
//! A module without code has nothing to place: it stays where Wasmtime keeps it. The feature `components` places components.
#![deny(unsafe_code)]

mod error;
mod foreign;
mod leaving;
mod memory;
mod place;

pub use error::Error;
pub use foreign::Outside;
pub use memory::CodeMemory;
