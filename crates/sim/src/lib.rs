//! A simulated machine under execmem.
//!
//! [`Sim`] is a [`Backend`](execmem_types::Backend) with page tables of every leaf size of a machine, physical frames
//! with content, rights checked on every access, counters, and refusals on request. It maps nothing of the host, so
//! any architecture can be simulated on any other, at its real addresses. An engine owns the [`Sim`] it is given; the
//! [`Control`] taken before says what is mapped and counted, refuses calls, and runs processors.
//!
//! ```
//! use execmem_arch_x86::MACHINE_X86;
//! use execmem_sim::Sim;
//! use execmem_types::{Access, Backend, Extent, Mapping, PageSize, Protection};
//!
//! let sim = Sim::new(&MACHINE_X86);
//! let extent = Extent::new(0xffff_ffff_c000_0000, 2 << 20).expect("a block");
//! sim.map(&Mapping::new(extent, PageSize::mib(2), Protection::ReadExecute, MACHINE_X86.trap()))?;
//! assert!(sim.store(extent.start(), &[0xc3]).is_err()); // no stores to text,
//! sim.write(Access::Poke, extent.start(), &[0xc3])?; // but text can be poked
//! # Ok::<(), execmem_types::BackendError>(())
//! ```
#![forbid(unsafe_code)]

mod access;
mod backend;
mod buddy;
mod catalogue;
mod counts;
mod direct;
mod entry;
mod faults;
mod grace;
mod memory;
mod nowhere;
mod options;
mod paging;
mod physical;
pub mod policy;
mod processors;
mod random;
mod refusal;
mod sim;
mod state;
mod sync;
mod tables;
mod tlb;
pub mod trace;
mod unmapped;
mod unsynced;
mod vmalloc;

pub use access::Fault;
pub use catalogue::{KnownProcessor, parse_size};
pub use counts::Counts;
pub use direct::{Alias, Merge};
pub use nowhere::Nowhere;
pub use options::Options;
pub use physical::DirectReport;
pub use random::Random;
pub use refusal::Refusal;
pub use sim::{Control, Sim, Translated};
pub use tables::{TableWriter, Tables, Walked};
pub use tlb::{Processor, TlbArray, TlbCounts};
pub use vmalloc::{Huge, VirtualArea, Vmalloc};
