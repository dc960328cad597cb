//! The engine on real memory: generated functions run, and the kernel confirms what we claim.
#![cfg(any(target_arch = "x86_64", target_arch = "aarch64", target_arch = "riscv64", target_arch = "powerpc"))]
#![expect(unsafe_code, reason = "calls the functions it generates, forks and filters system calls")]

mod code;
mod functions;
mod modules;
mod tracers;

// What follows asks the kernel, which an emulator of one process does not have.
#[cfg(target_arch = "x86_64")]
mod fork;
#[cfg(target_arch = "x86_64")]
mod limits;
#[cfg(target_arch = "x86_64")]
mod place;
#[cfg(target_arch = "x86_64")]
mod process;
#[cfg(target_arch = "x86_64")]
mod unwind;
