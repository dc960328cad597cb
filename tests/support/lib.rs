//! What the cross-crate tests share: an engine under test with a model of what it should hold.
#![allow(clippy::unwrap_used, clippy::missing_panics_doc, reason = "test support fails by panicking")]

pub mod backend_suite;
pub mod livepatch;
pub mod ops;
pub mod per_cpu;
pub mod recorder;
pub mod rig;
pub mod tables;
pub mod world;

/// The examples of the README, compiled and run.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;

/// The examples for users that come from something else, before and after.
#[cfg(doctest)]
#[doc = include_str!("../../crates/linux/MIGRATION.md")]
struct Migration;
