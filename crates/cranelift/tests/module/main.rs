//! Cranelift's functions in the engine's memory.
#![expect(unsafe_code, reason = "calls the functions it generates")]
#![expect(clippy::result_large_err, reason = "the error is Cranelift's")]

mod generator;
mod life;
mod many;
mod programs;
mod stock;
mod tools;
mod unwind;

fn main() -> std::process::ExitCode {
    let tests = [life::tests(), many::tests(), programs::tests(), stock::tests(), tools::tests(), unwind::tests()];
    skip::run("module", env!("CARGO_TARGET_TMPDIR"), tests)
}
