//! Allocator of integer ranges: no idea what a page or code is.
//!
//! An [`Arena`] manages *spans* of a coordinate space, cut into *quanta*. A quantum is either part of a *live range*,
//! which somebody holds, or of a *hole*, a maximal free run. Requests are served by best fit (or lowest or highest
//! place in a window); ranges are freed, looked up, cut and shortened by position alone.
//!
//! # How it works
//!
//! Best fit is both the densest policy and the fastest at scale: it leaves one hole for ten to fifty live ranges, so
//! what is stored about holes stays in cache, and about live ranges hardly anything is stored.
//!
//! - The [`Ledger`]: a word for 36 quanta says which ranges start there, which of them are live, and how long the last
//!   one is. Whoever has an `Arc` of it can look up any position without a lock, beside the arena that writes it.
//! - *Holes by size*: a list per length (exact up to 1,023 quanta), a bitmap over the lists.
//! - *Holes by position*: a list per 1,024 quanta; once somebody searches by position, a tree of maxima over the lists.
//!
//! | operation | cost |
//! |---|---|
//! | `alloc` tightest, `free`, `find`, `truncate`, `split`, `alloc_at` | constant: bit scans, a short list |
//! | `alloc` lowest or highest, with a window | O(log n), plus candidates long enough that hold no aligned place |
//! | `alloc` that fails | examines the candidates that are long enough |
//!
//! Growth happens by fixed pieces that never move, so no operation pays for the ones before it. Every operation secures
//! the memory it and a later `free` may need before it changes anything: [`Error::OutOfMemory`] leaves the arena as it
//! was, and `free` never needs memory.
//!
//! ```
//! use execmem_range::{Arena, Request};
//!
//! let mut arena = Arena::new(6)?; // quanta of 64
//! arena.add(0..0x20_0000)?;
//! let code = arena.alloc(&Request::new(1000))?;
//! assert_eq!(code, 0..1024);
//! assert_eq!(arena.find(700), Some(code.clone()));
//! arena.free(code.start)?;
//! assert_eq!(arena.find(700), None);
//! # Ok::<(), execmem_range::Error>(())
//! ```
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod arena;
mod audit;
mod error;
mod holes;
mod ledger;
mod memory;
mod request;
mod spans;
mod sync;
#[cfg(test)]
mod tests;

pub use arena::{Arena, Freed};
pub use audit::{Totals, Violation};
pub use error::Error;
pub use ledger::{Found, Ledger, PAGE_QUANTA};
pub use request::{Fit, Request};
