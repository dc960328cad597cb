//! A small kernel that uses execmem, and the example of a port: `cargo xtask bare` builds, boots and checks it.
//!
//! Read `kernel/memory.rs` first: it is the whole port. `kernel/tables.rs` and `kernel/frames.rs` are what a kernel has
//! already, `kernel/shows/` is what it does with an engine, line by line on the serial console.
#![cfg_attr(target_os = "none", no_std, no_main)]
#![deny(unsafe_code)]
#![cfg_attr(target_os = "none", allow(clippy::cast_possible_truncation, reason = "addresses and sizes have 64 bits"))]

#[cfg(target_os = "none")]
extern crate alloc;

#[cfg(target_os = "none")]
#[expect(unsafe_code, reason = "a kernel commands the processor and its memory")]
mod kernel;

/// There is nothing to run on the host.
#[cfg(not(target_os = "none"))]
fn main() {}
