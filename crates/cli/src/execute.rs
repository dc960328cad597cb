//! Runs generated code. The one place in this command that is not safe.
#![expect(unsafe_code, reason = "calls the functions this command generated")]

/// Calls a function with one argument and returns its 32-bit result.
///
/// Only code that this command generated and published is passed here: constants, sums and moves between registers and
/// its own data (see `generate` and `run::callers::code`), and what the clients put around it.
pub(crate) fn call(address: u64, argument: u32) -> u32 {
    call_with(address, [argument.into(), 0, 0, 0])
}

/// The same with four arguments: for dispatchers, the third is the address of the function wanted.
pub(crate) fn call_with(address: u64, arguments: [u64; 4]) -> u32 {
    // SAFETY: the caller passes the address of a published function that this command wrote: complete, of the C ABI,
    // touching nothing but registers and its module's own data, and not freed before it returns.
    let result = unsafe { execmem_linux::call(address, arguments) };
    #[expect(clippy::cast_possible_truncation, reason = "the upper half of a 32-bit result is undefined")]
    let result = result as u32;
    result
}
