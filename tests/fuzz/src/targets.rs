//! What is fuzzed.

mod engine;
mod loader;
mod range;
mod readers;
mod tables;

use crate::{Random, change, elf, seeds};

/// A function of bytes, and how to make bytes for it.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// What it is called.
    pub name: &'static str,
    /// Panics if the product does something wrong. Returns whether the product took the input.
    pub run: fn(&[u8]) -> bool,
    /// Inputs to begin with.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// Changes an input, perhaps by what another has.
    pub change: fn(&mut Random, &mut Vec<u8>, &[u8]),
}

/// Every target.
pub const TARGETS: &[Target] = &[
    Target { name: "loader-x86", run: |data| loader::load(0, data), seeds: || seeds::objects(0), change: elf::object },
    Target {
        name: "loader-arm64",
        run: |data| loader::load(1, data),
        seeds: || seeds::objects(1),
        change: elf::object,
    },
    Target {
        name: "loader-riscv",
        run: |data| loader::load(2, data),
        seeds: || seeds::objects(2),
        change: elf::object,
    },
    Target {
        name: "loader-powerpc",
        run: |data| loader::load(3, data),
        seeds: || seeds::objects(3),
        change: elf::object,
    },
    Target { name: "finalize", run: loader::finalize, seeds: seeds::finalized, change: elf::object },
    Target { name: "tables", run: tables::run, seeds: seeds::tables, change: plain },
    Target { name: "readers", run: readers::run, seeds: readers::seeds, change: readers::change },
    Target { name: "range", run: range::run, seeds: seeds::operations, change: plain },
    Target { name: "engine", run: engine::run, seeds: seeds::operations, change: plain },
];

/// The target of a name.
#[must_use]
pub fn named(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}

fn plain(random: &mut Random, data: &mut Vec<u8>, other: &[u8]) {
    change::bytes(random, data, other, &[]);
}

/// A number that follows from an input: what a target does with it besides.
fn hash(data: &[u8]) -> u64 {
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
    let hash = data.iter().fold(0xcbf2_9ce4_8422_2325, step);
    hash ^ hash >> 32
}
