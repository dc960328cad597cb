//! Allocator of integer ranges: no idea what a page or code is.
//!
//! An [`Arena`] manages *spans* of a coordinate space, cut into *quanta*. A quantum is either part of a *live range* or of a
//! *hole*, a maximal free run. Requests are served by best fit; ranges are freed, looked up and cut by position alone.
//!
//! # How it works
//!
//! Best fit is both the densest policy and the fastest at scale: it leaves one hole for ten to fifty live ranges, so
//! what is stored about holes stays in cache, and about live ranges hardly anything is stored.
//!
//! - The [`LiveMap`]: a word for 32 quanta says which ranges start there, which of them are live, and how long the last
//!   one is. Any thread that has it can look up any position without a lock, beside the arena that writes it.
//! - *Holes by size*: lists of holes of equal length, or about equal where they are long; a bitmap over the lists.
//! - *Holes by start*: a bucket for 256 quanta, beside their words.
//!
//! `try_alloc`, `free`, `split`, `find` take constant time: bit scans, two short lists. A request that is aligned to more
//! than the holes are, or that fails, examines the candidates that are long enough.
//!
//! Growth happens by pieces of less than 1 KiB that never move, lists by size apart, so no operation pays for the ones
//! before it. Every operation secures the memory it and a later `free` may need before it changes anything:
//! [`Error::OutOfMemory`] leaves the arena as it was, and `free` never needs memory.
//!
//! ```
//! use execmem_range::{Arena, LiveMap};
//!
//! let map = LiveMap::new(6, 1 << 30)?; // quanta of 64
//! let mut arena = Arena::over(&map);
//! arena.add(&map, 0..0x20_0000)?;
//! let code = arena.try_alloc(&map, 1000, 1, 7)?.expect("room");
//! let found = map.find(code + 700).expect("live");
//! assert_eq!((found.range, found.tag), (code..code + 1024, 7));
//! assert_eq!(arena.free(&map, code)?.len, 1024);
//! assert_eq!(map.find(code + 700), None);
//! # Ok::<(), execmem_range::Error>(())
//! ```
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod arena;
mod error;
mod holes;
mod live_map;
mod memory;
mod sync;
#[cfg(test)]
mod tests;

pub use arena::{Arena, Freed, State, Violation};
pub use error::Error;
pub use live_map::{Found, LiveMap, PAGE_QUANTA, TAG_BITS};
