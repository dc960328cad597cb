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
//!
//! # A table of one's own
//!
//! [`kinds!`] declares a set of kinds, and a [`Plan`] becomes its table: a constant, whose mistakes the compiler names by row
//! and rule. A hypervisor has three kinds; two lie in the same large pages, and what is free in the third can be told:
//!
//! ```
//! # use execmem_types::{Descriptor, Extent, InstructionSet, Machine, PageSize, Plan, PowerOfTwo, Table, Trap, Unused};
//! # static INSTRUCTIONS: InstructionSet = InstructionSet::unknown(64);
//! # const MACHINE: Machine = Machine::new("mine", &INSTRUCTIONS, &[PageSize::kib(4), PageSize::mib(2)]);
//! execmem_types::kinds! {
//!     /// What a hypervisor executes and keeps.
//!     pub enum Guest, types in guest {
//!         /// Emulated instructions.
//!         Emulated: Code = "emulated",
//!         /// Filters that guests bring.
//!         Filters: Code = "filters",
//!         /// Tables of guests.
//!         Tables: Data = "tables",
//!     }
//! }
//!
//! const CODE: Extent = Extent::between(0xffff_ffff_c000_0000, 0xffff_ffff_d000_0000).expect("a window");
//! const DATA: Extent = Extent::between(0xffff_c000_0000_0000, 0xffff_c000_4000_0000).expect("a window");
//! const LINE: PowerOfTwo = PowerOfTwo::from_log2(6);
//!
//! static TABLE: Table<Guest> = Plan::new(MACHINE)
//!     .own(guest::Emulated, Descriptor::code(CODE, &[PageSize::mib(2), PageSize::kib(4)]))
//!     .shares(guest::Filters, guest::Emulated, LINE, LINE)
//!     .own(
//!         guest::Tables,
//!         Descriptor { unused: Unused::Pattern(Trap::word(*b"free")), ..Descriptor::data(DATA, &[PageSize::kib(4)]) },
//!     )
//!     .table();
//!
//! # fn main() {
//! assert_eq!(TABLE.home(Guest::Filters), Guest::Emulated);
//! # }
//! ```
//!
//! A JIT with two tiers has four. Blocks of the first tier begin small; the second has large pages of its own from the start:
//!
//! ```
//! # use execmem_types::{Descriptor, Extent, Growth, InstructionSet, Machine, PageSize, Plan, PowerOfTwo, Table};
//! # static INSTRUCTIONS: InstructionSet = InstructionSet::unknown(64);
//! # const MACHINE: Machine = Machine::new("mine", &INSTRUCTIONS, &[PageSize::kib(4), PageSize::mib(2)]);
//! execmem_types::kinds! {
//!     /// What a JIT with two tiers keeps.
//!     pub enum Jit, types in jit {
//!         /// Code that was compiled at once.
//!         Baseline: Code = "baseline",
//!         /// Code that was compiled well.
//!         Optimised: Code = "optimised",
//!         /// Small pieces between them.
//!         Stubs: Code = "stubs",
//!         /// What code loads.
//!         Literals: Constants = "literals",
//!     }
//! }
//!
//! const PAGES: [PageSize; 2] = [PageSize::mib(2), PageSize::kib(4)];
//! const NEAR: Extent = Extent::between(0x4000_0000, 0x6000_0000).expect("a window");
//! const LINE: PowerOfTwo = PowerOfTwo::from_log2(6);
//! const WORDS: PowerOfTwo = PowerOfTwo::from_log2(4);
//!
//! static TABLE: Table<Jit> = Plan::new(MACHINE)
//!     .own(jit::Baseline, Descriptor { growth: Growth::Small, ..code() })
//!     .shares(jit::Stubs, jit::Baseline, WORDS, WORDS)
//!     .own(jit::Optimised, code().with_units(LINE, LINE))
//!     .own(jit::Literals, Descriptor::constants(NEAR, &PAGES))
//!     .table();
//!
//! /// Code of a process: nothing anchors it to a kernel.
//! const fn code() -> Descriptor {
//!     Descriptor { is_anchored: false, ..Descriptor::code(NEAR, &PAGES) }
//! }
//!
//! # fn main() {
//! assert_eq!(TABLE.quantum(Jit::Stubs), WORDS);
//! # }
//! ```
//!
//! Both are examples of the engine, with allocations and what comes of them: `cargo run -p execmem --example hypervisor`, or
//! `tiered`.
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
pub use rules::{MAX_KINDS, Rule, TableError};
pub use table::Table;
pub use template::{ByteOrder, Encoded, MAX_SEQUENCE_BYTES, Operand, Origin, Sequence, Slice, Template};
pub use trap::Trap;
pub use vouched::VouchedCode;
