//! The engine on real memory: generated functions run, and the kernel confirms what we claim.
#![cfg(any(target_arch = "x86_64", target_arch = "aarch64", target_arch = "riscv64", target_arch = "powerpc"))]
#![expect(unsafe_code, reason = "calls the functions it generates, forks and filters system calls")]

mod code;
mod functions;
mod modules;
mod tracers;

// What follows asks the kernel, which an emulator of one process does not have, or is code of this machine.
#[cfg(target_arch = "x86_64")]
mod accounts;
#[cfg(target_arch = "x86_64")]
mod attacks;
#[cfg(target_arch = "x86_64")]
mod by_address;
#[cfg(target_arch = "x86_64")]
mod callers;
#[cfg(target_arch = "x86_64")]
mod confine;
#[cfg(target_arch = "x86_64")]
mod descriptors;
#[cfg(target_arch = "x86_64")]
mod entropy;
#[cfg(target_arch = "x86_64")]
mod flip;
#[cfg(target_arch = "x86_64")]
mod fork;
#[cfg(target_arch = "x86_64")]
mod growth;
#[cfg(target_arch = "x86_64")]
mod limits;
#[cfg(target_arch = "x86_64")]
mod options;
#[cfg(target_arch = "x86_64")]
mod place;
#[cfg(target_arch = "x86_64")]
mod process;
#[cfg(target_arch = "x86_64")]
mod refused;
#[cfg(target_arch = "x86_64")]
mod sandbox;
#[cfg(target_arch = "x86_64")]
mod shared;
#[cfg(target_arch = "x86_64")]
mod soak;
#[cfg(target_arch = "x86_64")]
mod tools;
#[cfg(target_arch = "x86_64")]
mod unwind;

/// The tests of this folder.
pub(crate) fn tests() -> Vec<skip::Test> {
    let everywhere = [functions::tests(), modules::tests(), tracers::tests()];
    #[cfg(target_arch = "x86_64")]
    let here = [
        accounts::tests(),
        attacks::tests(),
        by_address::tests(),
        callers::tests(),
        descriptors::tests(),
        entropy::tests(),
        flip::tests(),
        fork::tests(),
        growth::tests(),
        limits::tests(),
        options::tests(),
        place::tests(),
        refused::tests(),
        sandbox::tests(),
        shared::tests(),
        soak::tests(),
        tools::tests(),
        unwind::tests(),
    ];
    #[cfg(not(target_arch = "x86_64"))]
    let here = [];
    everywhere.into_iter().chain(here).flatten().collect()
}
