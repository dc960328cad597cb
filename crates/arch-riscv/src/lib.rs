//! riscv64 for execmem: facts, tables, and what a boot changes about them.
//!
//! The numbers and tables are generated from `configs/arch/riscv.toml`, where each has its source. The only code is the
//! rule for the windows, which end where the kernel starts.
//!
//! ```
//! use execmem_arch_riscv::{Boot, RISCV64};
//! use execmem_types::{Extent, Kind};
//!
//! let kernel = Extent::new(0xffff_ffff_9a20_0000, 24 << 20).expect("an image");
//! let table = Boot { kernel }.apply(RISCV64)?;
//! let modules = table.descriptor(Kind::Text).windows().next().expect("a window");
//! assert_eq!(modules.end(), kernel.start().into());
//! # Ok::<(), execmem_types::TableError>(())
//! ```
#![no_std]
#![forbid(unsafe_code)]

mod boot;
mod generated;

pub use boot::{Boot, bpf_window, module_window};
pub use generated::{INSTRUCTIONS_RISCV64, MACHINE_RISCV64, RISCV64, SOURCES, TABLES};
