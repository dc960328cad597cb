//! Targets of fuzzing: functions of bytes that panic if the product does something wrong, whatever the bytes are.
//!
//! A target has inputs to begin with ([`Target::seeds`]) and a way to change them that gets deep ([`Target::change`]). The
//! program of this package runs them ([`hunt`]); so do the wrappers for `cargo fuzz` in `fuzz`.
#![deny(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::missing_panics_doc, reason = "a target fails by panicking")]

extern crate alloc;

mod change;
mod counters;
mod elf;
mod heap;
pub mod hunt;
mod random;
mod seeds;
mod targets;

// The oracle of ranges, which range's own tests have, names these as its own crate's.
pub(crate) use execmem_range::{Arena, Error, Freed, LiveMap, State, Violation};
mod live_map {
    /// More than the operations of the oracle use.
    pub(crate) const MAX_QUANTA: u32 = 1 << 20;
}

pub use random::Random;
pub use targets::{TARGETS, Target, named};
