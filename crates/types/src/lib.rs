//! The vocabulary of execmem.
//!
//! A caller names a [`Kind`]. A [`Table`] has one [`Row`] per kind, and a row says everything else about the memory of
//! that kind: [windows](Descriptor::windows), [granularities](Descriptor::granularities), [alignment](Descriptor::alignment),
//! [rights](Descriptor::protection), and how content [gets in](Fill). Every difference between kinds and architectures
//! is such a row; nothing here, and nothing in the engine, branches on an architecture.
//!
//! Tables are checked when they are constructed, by the compiler where they are constants. [`Backend`] is the contract
//! between the engine and memory.
//!
//! ```
//! use execmem_types::{Extent, Kind, PageSize, Reach, Trap};
//!
//! // Half-open, and able to end at the top of the address space.
//! let modules = Extent::between(0xffff_ffff_c000_0000, 0xffff_ffff_ff00_0000).expect("not empty");
//! let kernel = Extent::between(0xffff_ffff_8000_0000, 0xffff_ffff_c000_0000).expect("not empty");
//! let rel32 = Reach::Relative { base: 5, min: i32::MIN.into(), max: i32::MAX.into() };
//! assert!(rel32.connects(kernel, modules));
//! assert_eq!(PageSize::mib(2).to_string(), "2M");
//! assert!(Kind::Bpf.is_code());
//! ```
#![no_std]
#![forbid(unsafe_code)]

mod arch;
mod backend;
mod declare;
mod descriptor;
mod extent;
mod instructions;
mod isa;
mod kernel;
mod kind;
mod machine;
mod message;
mod page;
mod per_kind;
mod plan;
mod protection;
mod reach;
mod rules;
mod table;
mod template;
mod trap;
mod vouched;

pub use arch::{NamedTable, Source};
pub use backend::{Access, Backend, BackendError, Describe, Mapping, SyncScope};
pub use descriptor::{Descriptor, Fill, Growth, MAX_GRANULARITIES, MAX_WINDOWS, Placement, Row, Seal, Unused};
pub use extent::Extent;
pub use instructions::{CacheRule, Erratum, Features, InstructionSet, LongPatch, Others, PatchRule, Site, Whole};
pub use isa::Isa;
pub use kernel::{Kind, kinds};
pub use kind::{Class, CodeTag, KindFacts, KindName, KindSet, KindTag, KnownKind, SealableTag, WritableTag, class};
pub use machine::{Limits, MAX_LEAVES, Machine};
pub use page::{PageSize, PowerOfTwo};
pub use per_kind::PerKind;
pub use plan::Plan;
pub use protection::{Protection, Rights};
pub use reach::Reach;
pub use rules::{MAX_KINDS, MAX_SHARERS, Rule, TableError};
pub use table::Table;
pub use template::{ByteOrder, Encoded, MAX_SEQUENCE_BYTES, Operand, Origin, Sequence, Slice, Template};
pub use trap::Trap;
pub use vouched::VouchedCode;
