//! What needs the machine it runs on: memory of a process, what its kernel has to say, programs that are installed, data
//! that was fetched.
//!
//! A test that finds something missing is skipped (`skip::unless`), so tests are listed (`skip::tests!`), not marked. On
//! an emulated machine, only code of that machine is tested.
#![allow(clippy::print_stdout, reason = "tests say how much they did")]

#[cfg(target_arch = "x86_64")]
mod backends;
#[cfg(target_arch = "x86_64")]
mod binutils;
mod linux;

fn main() -> std::process::ExitCode {
    #[cfg(target_arch = "x86_64")]
    let tests = [linux::tests(), backends::tests(), backends::sequences::tests(), binutils::tests()];
    #[cfg(not(target_arch = "x86_64"))]
    let tests = [linux::tests()];
    skip::run("host", env!("CARGO_TARGET_TMPDIR"), tests)
}
