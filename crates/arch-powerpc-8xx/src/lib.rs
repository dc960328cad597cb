//! powerpc of 32 bits for execmem: MPC8xx and book3s/32, facts, tables, and what a boot changes about them.
//!
//! The numbers and tables are generated from `configs/arch/powerpc-8xx.toml`, where each has its source. The only code
//! is the rule for the windows of text: a near one that branches reach, and the whole module area, which overlaps it.
//!
//! ```
//! use execmem_arch_powerpc_8xx::{Boot, POWERPC_8XX};
//! use execmem_types::{Extent, Kind};
//!
//! let text = Extent::new(0xc000_0000, 5 << 20).expect("an image");
//! let table = Boot { text, module_bytes: 32 << 20 }.apply(POWERPC_8XX)?;
//! let near = table.descriptor(Kind::Text).windows().next().expect("a window");
//! assert_eq!(near.start(), 0xc050_0000 - (32 << 20));
//! # Ok::<(), execmem_types::TableError>(())
//! ```
#![no_std]
#![forbid(unsafe_code)]

mod boot;
mod generated;

pub use boot::{Boot, text_windows};
pub use generated::{
    INSTRUCTIONS_POWERPC_8XX, INSTRUCTIONS_POWERPC_BOOK3S32, MACHINE_POWERPC_8XX, MACHINE_POWERPC_8XX_16K,
    MACHINE_POWERPC_BOOK3S32, POWERPC_8XX, POWERPC_8XX_16K, POWERPC_BOOK3S32, SOURCES, TABLES,
};
