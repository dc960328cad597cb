//! Runs generated code. The one place in this command that is not safe.
#![expect(unsafe_code, reason = "calls the functions this command generated")]

/// Calls a function with one argument and returns its 32-bit result.
///
/// Only code that this command generated and published is passed here: constants, sums and moves between registers and
/// its own data (see `generate`).
pub(crate) fn call(address: u64, argument: u32) -> u32 {
    // SAFETY: the caller passes the address of a published function that `generate` wrote: complete, of the C ABI,
    // touching nothing but registers and its module's own data, and not freed before it returns.
    let result = unsafe { execmem_linux::call(address, [argument.into(), 0, 0, 0]) };
    #[expect(clippy::cast_possible_truncation, reason = "the upper half of a 32-bit result is undefined")]
    let result = result as u32;
    result
}
