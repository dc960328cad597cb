//! x86 for execmem: facts, tables, and what a boot changes about them.
//!
//! The numbers and tables are generated from `configs/arch/x86.toml`, where each has its source. The only code is the
//! rules of a boot.
//!
//! ```
//! use execmem_arch_x86::{Boot, KaslrOffset, TABLE};
//! use execmem_types::Kind;
//!
//! let boot = Boot { kaslr: KaslrOffset::from_pages(0x123), ..Boot::default() };
//! let table = boot.apply(TABLE)?;
//! let near = table.descriptor(Kind::Text).windows().next().expect("a window");
//! assert_eq!(near.start(), 0xffff_ffff_c012_3000);
//! # Ok::<(), execmem_types::TableError>(())
//! ```
#![no_std]
#![forbid(unsafe_code)]

mod boot;
mod generated;

pub use boot::{Boot, Image, KaslrOffset};
pub use generated::{
    INSTRUCTIONS_X86, INSTRUCTIONS_X86_32, MACHINE_X86, MACHINE_X86_32, SOURCES, TABLES, X86 as TABLE, X86_32,
    X86_FLIP, X86_KASAN, X86_LEGACY, X86_STRICT, X86_STRICT_PACKED, X86_TAIL,
};
