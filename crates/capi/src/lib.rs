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

use std::ffi::{c_int, c_void};
use std::sync::Arc;

use execmem::{Draft, Engine, Error, Handle as _, Kind, Live, kinds::Any};
use execmem_linux::{Linux, Options, Publish};

/// `execmem_status`.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Done.
    Ok = 0,
    /// A null pointer, or an argument that makes no sense.
    Invalid = 1,
    /// No addresses or no memory left.
    Exhausted = 2,
    /// An access outside the allocation.
    Bounds = 3,
    /// Not possible at this stage, or for this kind.
    Stage = 4,
    /// The operating system refused.
    System = 5,
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        match error {
            Error::ZeroSize { .. } => Status::Invalid,
            Error::TooLarge { .. } | Error::Exhausted { .. } | Error::OutOfMemory => Status::Exhausted,
            Error::OutOfBounds { .. } => Status::Bounds,
            Error::WrongKind { .. } => Status::Stage,
            _ => Status::System,
        }
    }
}

fn status(outcome: Result<(), Error>) -> Status {
    outcome.map_or_else(Status::from, |()| Status::Ok)
}

/// `execmem_memory`.
#[derive(Debug)]
pub struct Memory(Arc<Engine<Linux>>);

/// `execmem_allocation`.
#[derive(Debug)]
pub struct Allocation {
    engine: Arc<Engine<Linux>>,
    /// `None` only while it is published.
    stage: Option<Stage>,
}

#[derive(Debug)]
enum Stage {
    Draft(Draft<Any>),
    Live(Live<Any>),
}

impl Allocation {
    fn extent(&self) -> Option<execmem::Extent> {
        self.stage.as_ref().map(|stage| match stage {
            Stage::Draft(draft) => draft.extent(),
            Stage::Live(live) => live.extent(),
        })
    }
}

/// Reserves a window.
///
/// # Safety
///
/// As in the header: `memory` is null or a place for a pointer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn execmem_create(window_bytes: usize, publish: c_int, memory: *mut *mut Memory) -> Status {
    let publish = match publish {
        0 => Publish::Best,
        1 => Publish::Poke,
        2 => Publish::ProcMem,
        3 => Publish::Flip,
        _ => return Status::Invalid,
    };
    let options = Options::default().publish(publish);
    let options = if window_bytes == 0 { options } else { options.window(window_bytes as u64) };
    // SAFETY: null or a place for a pointer, says the caller.
    let Some(memory) = (unsafe { memory.as_mut() }) else { return Status::Invalid };
    let Ok(linux) = Linux::reserve(&options) else { return Status::System };
    let Ok(table) = linux.table() else { return Status::System };
    match Engine::new(table, linux) {
        Ok(engine) => {
            *memory = Box::into_raw(Box::new(Memory(Arc::new(engine))));
            Status::Ok
        }
        Err(error) => error.into(),
    }
}

/// Gives a window up.
///
/// # Safety
///
/// As in the header: `memory` is null or of [`execmem_create`], and not used afterwards.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn execmem_destroy(memory: *mut Memory) {
    if !memory.is_null() {
        // SAFETY: made by `execmem_create`, and given up, says the caller.
        drop(unsafe { Box::from_raw(memory) });
    }
}

/// Allocates a draft.
///
/// # Safety
///
/// As in the header: `memory` is null or of [`execmem_create`], `allocation` null or a place for a pointer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn execmem_alloc(
    memory: *const Memory,
    kind: c_int,
    bytes: usize,
    allocation: *mut *mut Allocation,
) -> Status {
    let kind = match kind {
        0 => Kind::Text,
        1 => Kind::Data,
        2 => Kind::RoData,
        _ => return Status::Invalid,
    };
    // SAFETY: null or valid, says the caller.
    let memory = unsafe { memory.as_ref() };
    // SAFETY: null or a place for a pointer, says the caller.
    let allocation = unsafe { allocation.as_mut() };
    let (Some(Memory(engine)), Some(allocation)) = (memory, allocation) else { return Status::Invalid };
    match engine.alloc_kind(kind, bytes as u64) {
        Ok(draft) => {
            let made = Allocation { engine: Arc::clone(engine), stage: Some(Stage::Draft(draft)) };
            *allocation = Box::into_raw(Box::new(made));
            Status::Ok
        }
        Err(error) => error.into(),
    }
}

/// The address of an allocation; null if there is none.
///
/// # Safety
///
/// As in the header: `allocation` is null or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn execmem_address(allocation: *const Allocation) -> *mut c_void {
    // SAFETY: null or valid, says the caller.
    let extent = unsafe { allocation.as_ref() }.and_then(Allocation::extent);
    let address = extent.and_then(|extent| usize::try_from(extent.start()).ok());
    address.map_or(std::ptr::null_mut(), std::ptr::with_exposed_provenance_mut)
}

/// The bytes of an allocation.
///
/// # Safety
///
/// As in the header: `allocation` is null or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn execmem_size(allocation: *const Allocation) -> usize {
    // SAFETY: null or valid, says the caller.
    let extent = unsafe { allocation.as_ref() }.and_then(Allocation::extent);
    extent.and_then(|extent| usize::try_from(extent.len()).ok()).unwrap_or(0)
}

/// The bytes that C passes.
///
/// # Safety
///
/// `len` bytes at `bytes` are readable and do not change, or `len` is zero or `bytes` null.
unsafe fn slice<'b>(bytes: *const c_void, len: usize) -> Option<&'b [u8]> {
    if len == 0 {
        return Some(&[]);
    }
    let is_one_object = isize::try_from(len).is_ok();
    // SAFETY: readable and constant, says the caller; neither null nor longer than an object can be.
    (is_one_object && !bytes.is_null()).then(|| unsafe { std::slice::from_raw_parts(bytes.cast::<u8>(), len) })
}

/// Copies bytes into a draft, or into data.
///
/// # Safety
///
/// As in the header: `allocation` is null or valid, and `len` bytes at `bytes` are readable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn execmem_write(
    allocation: *mut Allocation,
    offset: usize,
    bytes: *const c_void,
    len: usize,
) -> Status {
    // SAFETY: null or valid, says the caller.
    let allocation = unsafe { allocation.as_mut() };
    // SAFETY: readable, says the caller.
    let bytes = unsafe { slice(bytes, len) };
    let (Some(allocation), Some(bytes)) = (allocation, bytes) else { return Status::Invalid };
    match &mut allocation.stage {
        Some(Stage::Draft(draft)) => status(allocation.engine.write(draft, offset as u64, bytes)),
        Some(Stage::Live(live)) => status(allocation.engine.write(live, offset as u64, bytes)),
        None => Status::Invalid,
    }
}

/// Publishes a draft.
///
/// # Safety
///
/// As in the header: `allocation` is null or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn execmem_publish_allocation(allocation: *mut Allocation) -> Status {
    // SAFETY: null or valid, says the caller.
    let Some(allocation) = (unsafe { allocation.as_mut() }) else { return Status::Invalid };
    let (stage, outcome) = match allocation.stage.take() {
        Some(Stage::Draft(draft)) => match allocation.engine.publish(draft) {
            Ok(live) => (Some(Stage::Live(live)), Status::Ok),
            Err(failed) => (Some(Stage::Draft(failed.handle)), failed.error.into()),
        },
        other => (other, Status::Stage),
    };
    allocation.stage = stage;
    outcome
}

/// Changes published code.
///
/// # Safety
///
/// As in the header: `allocation` is null or valid, and `len` bytes at `bytes` are readable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn execmem_patch(
    allocation: *mut Allocation,
    offset: usize,
    bytes: *const c_void,
    len: usize,
) -> Status {
    // SAFETY: null or valid, says the caller.
    let allocation = unsafe { allocation.as_mut() };
    // SAFETY: readable, says the caller.
    let bytes = unsafe { slice(bytes, len) };
    let (Some(allocation), Some(bytes)) = (allocation, bytes) else { return Status::Invalid };
    match &allocation.stage {
        Some(Stage::Live(live)) => status(allocation.engine.patch(live, offset as u64, bytes)),
        Some(Stage::Draft(_)) => Status::Stage,
        None => Status::Invalid,
    }
}

/// Frees an allocation.
///
/// # Safety
///
/// As in the header: `allocation` is null or valid, and not used afterwards.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn execmem_free(allocation: *mut Allocation) {
    if allocation.is_null() {
        return;
    }
    // SAFETY: made by `execmem_alloc`, and given up, says the caller.
    let Allocation { engine, stage } = *unsafe { Box::from_raw(allocation) };
    // A handle is refused by another engine only, and it came from this one.
    let _ = match stage {
        Some(Stage::Draft(draft)) => engine.free(draft).map_err(|failed| failed.error),
        Some(Stage::Live(live)) => engine.free(live).map_err(|failed| failed.error),
        None => Ok(()),
    };
}

/// Gives unused memory back.
///
/// # Safety
///
/// As in the header: `memory` is null or of [`execmem_create`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn execmem_shrink(memory: *const Memory) {
    // SAFETY: null or valid, says the caller.
    if let Some(Memory(engine)) = unsafe { memory.as_ref() } {
        engine.shrink();
    }
}
