//! What is installed: functions of any length that return their tag, and have it once more in their last four bytes.

/// The shortest function.
pub(crate) const MIN_BYTES: usize = 16;
const TAG_BYTES: usize = 4;
const TRAP: u8 = 0xcc;

/// Whether the functions can run here.
pub(crate) const RUNS_HERE: bool = cfg!(target_arch = "x86_64");

/// A buffer in which one function after the other is made.
#[derive(Debug)]
pub(crate) struct Template(Vec<u8>);

impl Template {
    /// For functions of up to `max_bytes`.
    pub(crate) fn new(max_bytes: usize) -> Self {
        let mut bytes = vec![TRAP; max_bytes.max(MIN_BYTES)];
        bytes[0] = 0xb8; // mov eax, tag
        bytes[5] = 0xc3; // ret
        Template(bytes)
    }

    /// Passes the function of a length and a tag to `install`.
    pub(crate) fn with<T>(&mut self, len: usize, tag: u32, install: impl FnOnce(&[u8]) -> T) -> T {
        let tail = len - TAG_BYTES..len;
        self.0[1..5].copy_from_slice(&tag.to_le_bytes());
        self.0[tail.clone()].copy_from_slice(&tag.to_le_bytes());
        let result = install(&self.0[..len]);
        self.0[tail].fill(TRAP);
        result
    }
}

/// Calls the function at an address.
///
/// # Safety
///
/// A function of a [`Template`] is published there and is not freed before it returns.
pub(crate) unsafe fn call(address: usize) -> u32 {
    let entry = std::ptr::with_exposed_provenance::<()>(address);
    // SAFETY: the caller says that a function starts there; it takes nothing, returns 32 bits and follows the C ABI.
    let function = unsafe { std::mem::transmute::<*const (), extern "C" fn() -> u32>(entry) };
    function()
}

/// The tag in the last bytes of the function at an address.
///
/// # Safety
///
/// A function of a [`Template`] of `len` bytes is readable there.
pub(crate) unsafe fn tail(address: usize, len: usize) -> u32 {
    let tail = std::ptr::with_exposed_provenance::<u32>(address + len - TAG_BYTES);
    // SAFETY: the caller says that `len` bytes are readable from `address`; these are the last four.
    unsafe { tail.read_unaligned() }
}
