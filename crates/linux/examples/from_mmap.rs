//! A JIT that had a mapping for each function, before and after: `MIGRATION.md` has the calls side by side.
#![expect(unsafe_code, reason = "maps memory, and calls what is in it")]
#![allow(clippy::print_stdout, reason = "an example talks to a terminal")]

use execmem_linux::{Function, SetupError, fn_at};
use rustix::mm::{MapFlags, MprotectFlags, ProtFlags, mmap_anonymous, mprotect, munmap};

/// What both make: `mov eax, value; ret` on x86-64.
fn code(value: u32) -> [u8; 6] {
    let [a, b, c, d] = value.to_le_bytes();
    [0xb8, a, b, c, d, 0xc3]
}

type Call = extern "C" fn() -> u32;

/// Before: a page and a mapping a function, three system calls for it.
fn by_mmap(value: u32) -> rustix::io::Result<u32> {
    let (code, len) = (code(value), rustix::param::page_size());
    // SAFETY: without MAP_FIXED, at addresses that nothing uses.
    let page =
        unsafe { mmap_anonymous(std::ptr::null_mut(), len, ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE) }?;
    // SAFETY: the page is fresh, writable, and longer than the code.
    unsafe { page.cast::<u8>().copy_from_nonoverlapping(code.as_ptr(), code.len()) };
    // SAFETY: nothing refers to the page.
    unsafe { mprotect(page, len, MprotectFlags::READ | MprotectFlags::EXEC) }?;
    // SAFETY: a complete function of this signature is there.
    let call = unsafe { fn_at::<Call>(page.expose_provenance() as u64) };
    let result = call();
    // SAFETY: the function returned, and nothing refers to the page.
    unsafe { munmap(page, len) }?;
    Ok(result)
}

/// After: 16 bytes or so of a page that thousands of functions share, and no system call once there is room.
fn by_execmem(value: u32) -> Result<u32, SetupError> {
    let function = Function::new(&code(value))?;
    // SAFETY: a complete function of this signature, which lives until it returned.
    Ok(unsafe { function.as_fn::<Call>() }())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    if cfg!(target_arch = "x86_64") {
        println!("{} by mmap, {} by execmem", by_mmap(42)?, by_execmem(42)?);
    }
    Ok(())
}

#[test]
#[cfg(target_arch = "x86_64")]
fn both_return_the_same() {
    for value in [0, 42, u32::MAX] {
        assert_eq!((by_mmap(value).expect("memory"), by_execmem(value).expect("memory")), (value, value));
    }
}
