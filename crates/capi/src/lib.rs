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
use std::ops::Deref;
use std::sync::Arc;

use execmem::{BackendError, Draft, Engine, Error, Kind, Live};
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
    /// So many bytes do not change in one piece.
    Pieces = 6,
    /// This process was forked from the one that made the memory.
    Forked = 7,
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        match error {
            Error::ZeroSize { .. } => Status::Invalid,
            Error::TooLarge { .. } | Error::Exhausted { .. } | Error::OutOfMemory => Status::Exhausted,
            Error::OutOfBounds { .. } => Status::Bounds,
            Error::WrongKind { .. } => Status::Stage,
            Error::Backend { source: BackendError::Forked, .. } => Status::Forked,
            Error::NotWhole { .. } => Status::Pieces,
            _ => Status::System,
        }
    }
}

fn status(outcome: Result<(), Error>) -> Status {
    outcome.map_or_else(Status::from, |()| Status::Ok)
}

/// `execmem_memory`.
#[derive(Debug)]
pub struct CMemory(Owner);

/// The engine of a memory.
#[derive(Debug, Clone)]
enum Owner {
    /// Gone with the last of the memory and its allocations.
    Own(Arc<Engine<Linux>>),
    /// The whole process has it.
    Shared(&'static Engine<Linux>),
}

impl Deref for Owner {
    type Target = Engine<Linux>;

    fn deref(&self) -> &Engine<Linux> {
        match self {
            Owner::Own(engine) => engine,
            Owner::Shared(engine) => engine,
        }
    }
}

/// `execmem_allocation`.
#[derive(Debug)]
pub struct Allocation {
    engine: Owner,
    /// `None` only while it is published.
    stage: Option<Stage>,
}

#[derive(Debug)]
enum Stage {
    Draft(Draft),
    Live(Live),
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
pub unsafe extern "C" fn execmem_create(window_bytes: usize, publish: c_int, memory: *mut *mut CMemory) -> Status {
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
            *memory = Box::into_raw(Box::new(CMemory(Owner::Own(Arc::new(engine)))));
            Status::Ok
        }
        Err(error) => error.into(),
    }
}

/// The memory that everything in the process shares.
///
/// # Safety
///
/// As in the header: `memory` is null or a place for a pointer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn execmem_shared(memory: *mut *mut CMemory) -> Status {
    // SAFETY: null or a place for a pointer, says the caller.
    let Some(memory) = (unsafe { memory.as_mut() }) else { return Status::Invalid };
    let Ok(engine) = execmem_linux::shared() else { return Status::System };
    *memory = Box::into_raw(Box::new(CMemory(Owner::Shared(engine))));
    Status::Ok
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

/// Allocates a draft.
///
/// # Safety
///
/// As in the header: `memory` is null or of [`execmem_create`], `allocation` null or a place for a pointer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn execmem_alloc(
    memory: *const CMemory,
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
    let (Some(CMemory(engine)), Some(allocation)) = (memory, allocation) else { return Status::Invalid };
    match engine.alloc_kind(kind, bytes as u64) {
        Ok(draft) => {
            let made = Allocation { engine: engine.clone(), stage: Some(Stage::Draft(draft)) };
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
    meanwhile: c_int,
) -> Status {
    // SAFETY: null or valid, says the caller.
    let allocation = unsafe { allocation.as_mut() };
    // SAFETY: readable, says the caller.
    let bytes = unsafe { slice(bytes, len) };
    let (Some(allocation), Some(bytes)) = (allocation, bytes) else { return Status::Invalid };
    let (engine, offset) = (&allocation.engine, offset as u64);
    match (&allocation.stage, meanwhile) {
        (Some(Stage::Live(live)), 0) => status(engine.patch_unexecuted(live, offset, bytes)),
        (Some(Stage::Live(live)), 1) => status(engine.patch(live, offset, bytes)),
        (Some(Stage::Live(live)), 2) => status(engine.patch_literal(live, offset, bytes)),
        (Some(Stage::Draft(_)), 0..=2) => Status::Stage,
        _ => Status::Invalid,
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
pub unsafe extern "C" fn execmem_shrink(memory: *const CMemory) {
    // SAFETY: null or valid, says the caller.
    if let Some(CMemory(engine)) = unsafe { memory.as_ref() } {
        engine.shrink();
    }
}
