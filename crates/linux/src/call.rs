//! Executing what was written.
#![expect(unsafe_code, reason = "runs code that only its author has checked")]

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

/// The function pointer of type `F` to an address: `fn_at::<extern "C" fn(i64) -> i64>(address)`.
///
/// Any type of a pointer's size compiles, since Rust has no name for "function pointers of every signature", lifetimes of
/// arguments included; a type of another size does not.
///
/// # Safety
///
/// `F` must be a type of function pointers, and the bytes at `address` a complete function of that signature and ABI,
/// synchronised with instruction fetch. The pointer must not be called once they are freed or are no such function any more.
/// Where `F` is no `unsafe fn`, every call with arguments of its types must be sound.
#[must_use]
pub unsafe fn fn_at<F: Copy>(address: u64) -> F {
    const { assert!(size_of::<F>() == size_of::<*const ()>(), "F is no type of function pointers") }
    let entry = std::ptr::with_exposed_provenance::<()>(usize::try_from(address).unwrap_or_default());
    // SAFETY: `F` is as large as a pointer, and the caller vouches that it is a function pointer type and that its function
    // is there.
    unsafe { std::mem::transmute_copy::<*const (), F>(&entry) }
}
