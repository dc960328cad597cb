//! arm64 for execmem: facts, tables of three granules, and what a boot changes about them.
//!
//! The numbers and tables are generated from `configs/arch/arm64.toml`, where each has its source. The only code is the
//! rules for where modules may lie: within 128 MiB of the kernel, or within 2 GiB.
//!
//! ```
//! use execmem_arch_arm64::{ARM64_4K, Boot, Boxes};
//! use execmem_types::{Extent, Kind};
//!
//! let kernel = Extent::new(0xffff_8000_8123_0000, 24 << 20).expect("an image");
//! let boxes = Boxes::random(kernel, ARM64_4K.machine().page(), [7, 42]);
//! assert!(boxes.direct.is_some_and(|direct| direct.covers(kernel)));
//! let table = Boot { kernel, boxes }.apply(ARM64_4K)?;
//! assert!(table.descriptor(Kind::Text).windows().count() >= 2);
//! # Ok::<(), execmem_types::TableError>(())
//! ```
#![no_std]
#![forbid(unsafe_code)]

mod boot;
mod boxes;
mod generated;

pub use boot::Boot;
pub use boxes::{Boxes, DIRECT_BYTES, PLT_BYTES};
pub use generated::{
    ARM64_4K, ARM64_16K, ARM64_64K, INSTRUCTIONS_ARM64, MACHINE_ARM64_4K, MACHINE_ARM64_16K, MACHINE_ARM64_64K,
    SOURCES, TABLES,
};
