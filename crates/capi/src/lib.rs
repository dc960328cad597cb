//! The C API: what `include/execmem.h` declares.
//!
//! Compile with `-I crates/capi/include` and link `libexecmem_c.a` or `libexecmem_c.so`. Nothing here panics on a bad
//! argument: null pointers and values out of range are statuses. `examples/answer.c` shows them, data and changes of
//! code; and this is `examples/call.c`:
//!
//! ```c
#![doc = include_str!("../examples/call.c")]
//! ```
#![expect(unsafe_code, reason = "C passes pointers, and the functions have names that C knows")]

mod allocation;
mod status;

use std::ffi::{c_char, c_int};

use execmem_linux::{ByAddress, EngineHandle, Linux, Options, Publish, shared_with};

pub use allocation::{
    Allocation, Found, execmem_address, execmem_alloc, execmem_alloc_aligned, execmem_find, execmem_free,
    execmem_free_at, execmem_keep, execmem_patch, execmem_publish_allocation, execmem_size, execmem_truncate,
    execmem_writable, execmem_write,
};
use status::fail;
pub use status::{Status, execmem_error_text, execmem_status_text};

/// `execmem_memory`: the engine, and what is freed by address.
#[derive(Debug)]
pub struct CMemory(pub(crate) ByAddress<EngineHandle>);

/// The version of this library, as text.
#[unsafe(no_mangle)]
pub extern "C" fn execmem_version() -> *const c_char {
    const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), "\0");
    VERSION.as_ptr().cast::<c_char>()
}

/// What C says of a window.
fn options(window_bytes: usize, publish: c_int) -> Option<Options> {
    let publish = match publish {
        0 => Publish::Best,
        1 => Publish::Poke,
        2 => Publish::ProcMem,
        3 => Publish::Flip,
        _ => return None,
    };
    let options = Options::default().publish(publish);
    Some(if window_bytes == 0 { options } else { options.window(window_bytes as u64) })
}

fn boxed(engine: impl Into<EngineHandle>) -> *mut CMemory {
    Box::into_raw(Box::new(CMemory(ByAddress::new(engine.into()))))
}

/// Reserves a window.
///
/// # Safety
///
/// As in the header: `memory` is null or a place for a pointer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn execmem_create(window_bytes: usize, publish: c_int, memory: *mut *mut CMemory) -> Status {
    let Some(options) = options(window_bytes, publish) else { return fail(Status::Invalid) };
    // SAFETY: null or a place for a pointer, says the caller.
    let Some(memory) = (unsafe { memory.as_mut() }) else { return fail(Status::Invalid) };
    match Linux::engine(&options) {
        Ok(engine) => {
            *memory = boxed(engine);
            Status::Ok
        }
        Err(error) => fail(error),
    }
}

/// The memory that everything in the process shares.
///
/// # Safety
///
/// As in the header: `memory` is null or a place for a pointer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn execmem_shared(memory: *mut *mut CMemory) -> Status {
    // SAFETY: as for this function.
    unsafe { execmem_shared_with(0, 0, memory) }
}

/// The same, made so if it is not there yet.
///
/// # Safety
///
/// As in the header: `memory` is null or a place for a pointer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn execmem_shared_with(window_bytes: usize, publish: c_int, memory: *mut *mut CMemory) -> Status {
    let Some(options) = options(window_bytes, publish) else { return fail(Status::Invalid) };
    // SAFETY: null or a place for a pointer, says the caller.
    let Some(memory) = (unsafe { memory.as_mut() }) else { return fail(Status::Invalid) };
    match shared_with(&options) {
        Ok(engine) => {
            *memory = boxed(engine);
            Status::Ok
        }
        Err(error) => fail(error),
    }
}

/// Gives a window up.
///
/// # Safety
///
/// As in the header: `memory` is null or of [`execmem_create`], and not used afterwards.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn execmem_destroy(memory: *mut CMemory) {
    if !memory.is_null() {
        // SAFETY: made by `execmem_create`, and given up, says the caller.
        drop(unsafe { Box::from_raw(memory) });
    }
}

/// Gives unused memory back.
///
/// # Safety
///
/// As in the header: `memory` is null or of [`execmem_create`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn execmem_shrink(memory: *const CMemory) {
    // SAFETY: null or valid, says the caller.
    if let Some(CMemory(memory)) = unsafe { memory.as_ref() } {
        memory.engine().shrink();
    }
}
