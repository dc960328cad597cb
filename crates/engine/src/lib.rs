//! One allocator for every user of executable memory: kernel modules, kprobes, ftrace, BPF, and JITs.
//!
//! A caller says *kind and size*; a [`Table`] says everything else, and a [`Backend`] provides the memory. Many small
//! allocations share large mappings, nothing is ever writable and executable through one address, and an allocation in
//! an existing block changes no rights and flushes nothing.
//!
//! ```
//! use execmem::{Engine, Handle as _, kinds::{Data, Text}};
//! use execmem_arch_x86::TABLE;
//! use execmem_sim::Sim;
//!
//! let engine = Engine::new(TABLE, Sim::new(TABLE.machine()))?;
//!
//! let mut code = engine.alloc::<Text>(6)?;
//! engine.write(&mut code, 0, &[0xb8, 42, 0, 0, 0, 0xc3])?; // mov eax, 42; ret
//! let code = engine.publish(code)?;
//! assert!(engine.find(code.address() + 5).is_some());
//!
//! let data = engine.alloc::<Data>(100_000)?;
//! engine.free(data)?;
//! engine.free(code)?;
//! engine.shrink();
//! assert_eq!(engine.stats().bytes_mapped(), 0);
//! engine.audit()?;
//! # Ok::<(), Box<dyn core::error::Error>>(())
//! ```
//!
//! The life of an allocation, file by file, is told in ARCHITECTURE.md.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod audit;
mod block;
mod content;
mod counters;
mod donations;
mod drain;
mod engine;
mod error;
mod group;
mod grow;
mod handle;
mod homes;
mod life;
mod lookup;
mod owner;
mod pool;
mod reclaim;
mod region;
mod request;
mod seal;
mod shard;
mod space;
mod stats;
pub mod sync;
mod tail;

pub use audit::Violation;
pub use counters::{Counters, KindStats};
pub use engine::Engine;
pub use error::{Error, Failed, Operation};
pub use execmem_types::{
    Backend, BackendError, CodeTag, Extent, Kind, KindTag, KnownKind, PageSize, PowerOfTwo, Protection, SealableTag,
    Table, WritableTag, kinds,
};
pub use handle::{Draft, Handle, Live, Sealed, Writable};
pub use lookup::Found;
pub use owner::Owner;
pub use request::Request;
pub use stats::{PoolStats, Stats};
