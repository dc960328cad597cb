//! Tests that need what a machine may lack: a program, data, a feature of the kernel, a right.
//!
//! Such a test says so with [`unless`], usually in its first line. Where the need is not met, the test ends there, and
//! its program reports it as ignored with the reason, not as passed. `cargo test --workspace` and `cargo xtask ci` list
//! what was skipped at their end; the latter fails if that names something it has installed or fetched.
//!
//! The harness of the standard library cannot ignore a test that has begun. So the programs of such tests have
//! `harness = false`, list the tests of each file with [`tests!`] instead of marking each, and run them with [`run`].
#![forbid(unsafe_code)]

mod need;
mod records;
mod test;
mod tools;

pub use need::{Missing, Need, condition, fetched, relay, tool, unless};
pub use records::{Records, Skipped};
pub use test::{Test, run};
pub use tools::{TOOLS, Tool};
