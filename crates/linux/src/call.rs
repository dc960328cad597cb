//! Executing what was written.
#![expect(unsafe_code, reason = "runs code that nobody but its author has checked")]

/// What is called.
type Function = unsafe extern "C" fn(usize, usize, usize, usize) -> usize;

/// Calls a function of the C ABI at an address, with up to four integer arguments, and returns its integer result.
///
/// Arguments and result are what a register holds: on a machine of 32 bits, the lower half. A function that takes fewer
/// arguments ignores the rest; of a result of 32 bits in a wider register the upper half is whatever was there.
///
/// # Safety
///
/// The bytes at `address` must be a complete function that follows the C ABI of this machine, synchronised with
/// instruction fetch, and must stay so until it returns. What it does must be sound to do here.
#[must_use]
pub unsafe fn call(address: u64, arguments: [u64; 4]) -> u64 {
    let address = usize::try_from(address).unwrap_or_default();
    let entry = std::ptr::with_exposed_provenance::<()>(address);
    // SAFETY: the caller vouches that a function of the C ABI starts there, and a function pointer is as wide as an
    // address on every machine this crate knows.
    let function = unsafe { std::mem::transmute::<*const (), Function>(entry) };
    #[expect(clippy::cast_possible_truncation, reason = "a register holds the lower half, as documented")]
    let [a, b, c, d] = arguments.map(|argument| argument as usize);
    // SAFETY: the caller vouches for what the function does.
    unsafe { function(a, b, c, d) as u64 }
}
