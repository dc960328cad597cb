//! The module loader: what it loads, what it refuses, and that refusing leaves nothing behind.

pub(crate) mod budgets;
pub(crate) mod heap;
mod livepatch;
mod loads;
mod loongarch;
mod malformed;
pub(crate) mod objects;
mod per_cpu;
mod refused;
mod relocations;
mod sets;
mod sites;
