//! One allocator for every user of executable memory: kernel modules, kprobes, ftrace, BPF, and JITs.
//!
//! A caller says *kind and size*; a [`Table`] says everything else, and a [`Backend`] provides the memory. Many small
//! allocations share large mappings, nothing is ever writable and executable through one address, and an allocation in
//! an existing block changes no rights and flushes nothing.
//!
//! ```
//! use execmem::{Engine, kinds::{Data, Text}};
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
//! | to | begin with |
//! |---|---|
//! | make code in a process of Linux | `execmem-linux`, which has the memory, and functions in one call |
//! | manage executable memory in a kernel or hypervisor | a table of an arch crate, a [`Backend`] over the page tables, two [locks](sync) |
//! | write for an address that is not known before | [`Engine::write_with`], [`Engine::emit`] |
//! | have kinds of one's own | `execmem_types::kinds!`, the example `tiered` |
//!
//! # Features
//!
//! `std` (by default): locks of parking_lot for threads. Without it the crate is `no_std` with `alloc`, and any
//! `lock_api::RawMutex` is brought along.
//!
//! # Storeys
//!
//! Each uses only those below it, and the order of the modules is theirs:
//!
//! | storey | has | commands memory |
//! |---|---|---|
//! | `api` | [`Engine`] and what callers do with it | – |
//! | `pool` | one row of the table: where a request is served, growth, the end of allocations | through `memory` |
//! | `memory` | the one seam to the backend and to the user's [`Hooks`] | yes |
//! | `space` | which addresses hold blocks | no |
//! | `region` | the blocks of one shard in one window, and the ranges in them | no |
//! | [`sync`] | the locks | no |
//! | `base` | errors, owners, counters, requests, handles | no |
#![doc = include_str!("costs.md")]
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod api;
mod base;
mod memory;
mod pool;
#[doc = include_str!("porting.md")]
#[doc = "```"]
#[doc = include_str!("../examples/port.rs")]
#[doc = "```"]
pub mod porting {}
mod region;
mod space;
pub mod sync;

pub use api::{DraftWriter, Engine, EngineOf, EngineRef, Found, Owned, PoolStats, Stats, Violation};
pub use base::counters::{Counters, KindStats};
pub use base::error::{Error, Failed, Operation};
pub use base::handle::{Draft, Handle, Live, Sealed, Stage, Writes, stage};
pub use base::request::Owner;
pub use base::request::Request;
pub use base::reservation::Reservation;
pub use execmem_types::{
    Backend, BackendError, CodeTag, Describe, Extent, Kind, KindName, KindSet, KindTag, KnownKind, PageSize,
    PowerOfTwo, Protection, SealableTag, Table, WritableTag, kinds,
};
pub use memory::{Hooked, Hooks, Memory, NoHooks};
