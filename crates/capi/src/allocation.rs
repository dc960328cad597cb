//! Allocations: from draft to published, and to where they are freed.

use std::ffi::{c_int, c_void};

use execmem::{Draft, Error, Kind, Live, Owner, PowerOfTwo, Request};
use execmem_linux::EngineHandle;

use crate::CMemory;
use crate::status::{Status, fail, status};

/// `execmem_allocation`.
#[derive(Debug)]
pub struct Allocation {
    engine: EngineHandle,
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

/// The kind of a number of C.
const fn kind_of(kind: c_int) -> Option<Kind> {
    match kind {
        0 => Some(Kind::Text),
        1 => Some(Kind::Data),
        2 => Some(Kind::RoData),
        _ => None,
    }
}

/// Allocates a draft.
///
/// # Safety
///
/// As in the header: `memory` is null or valid, `allocation` null or a place for a pointer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn execmem_alloc(
    memory: *const CMemory,
    kind: c_int,
    bytes: usize,
    allocation: *mut *mut Allocation,
) -> Status {
    // SAFETY: as for this function.
    unsafe { execmem_alloc_aligned(memory, kind, bytes, 1, 0, allocation) }
}

/// Allocates a draft at a multiple of something, for an owner.
///
/// # Safety
///
/// As in the header: `memory` is null or valid, `allocation` null or a place for a pointer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn execmem_alloc_aligned(
    memory: *const CMemory,
    kind: c_int,
    bytes: usize,
    alignment: usize,
    owner: u16,
    allocation: *mut *mut Allocation,
) -> Status {
    // SAFETY: null or valid, says the caller.
    let memory = unsafe { memory.as_ref() };
    // SAFETY: null or a place for a pointer, says the caller.
    let allocation = unsafe { allocation.as_mut() };
    let (Some(CMemory(memory)), Some(allocation)) = (memory, allocation) else { return fail(Status::Invalid) };
    let (kind, align) = (kind_of(kind), PowerOfTwo::from_bytes(alignment as u64));
    let (Some(kind), Some(align)) = (kind, align) else { return fail(Status::Invalid) };
    let engine = memory.engine();
    match engine.request(&Request::new(kind, bytes as u64).aligned(align).owned_by(Owner(owner))) {
        Ok(draft) => {
            let made = Allocation { engine: engine.clone(), stage: Some(Stage::Draft(draft)) };
            *allocation = Box::into_raw(Box::new(made));
            Status::Ok
        }
        Err(error) => fail(error),
    }
}

/// Shortens an allocation.
///
/// # Safety
///
/// As in the header: `allocation` is null or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn execmem_truncate(allocation: *mut Allocation, bytes: usize) -> Status {
    // SAFETY: null or valid, says the caller.
    let Some(Allocation { engine, stage }) = (unsafe { allocation.as_mut() }) else { return fail(Status::Invalid) };
    match stage {
        Some(Stage::Draft(draft)) => status(engine.truncate(draft, bytes as u64)),
        Some(Stage::Live(live)) => status(engine.truncate(live, bytes as u64)),
        None => fail(Status::Invalid),
    }
}

/// Where a draft can be stored to.
///
/// # Safety
///
/// As in the header: `allocation` is null or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn execmem_writable(allocation: *mut Allocation) -> *mut c_void {
    // SAFETY: null or valid, says the caller.
    let pointer = match unsafe { allocation.as_mut() } {
        Some(Allocation { engine, stage: Some(Stage::Draft(draft)) }) => execmem_linux::writable(engine, draft),
        _ => None,
    };
    pointer.map_or(std::ptr::null_mut(), <*mut u8>::cast)
}

/// `execmem_found`.
#[repr(C)]
#[derive(Debug)]
pub struct Found {
    address: *mut c_void,
    bytes: usize,
    kind: c_int,
    owner: u16,
}

/// The allocation that holds an address.
///
/// # Safety
///
/// As in the header: `memory` is null or valid, `found` null or a place for a description.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn execmem_find(memory: *const CMemory, address: *const c_void, found: *mut Found) -> Status {
    // SAFETY: null or valid, says the caller.
    let memory = unsafe { memory.as_ref() };
    // SAFETY: null or a place for a description, says the caller.
    let place = unsafe { found.as_mut() };
    let (Some(CMemory(memory)), Some(place)) = (memory, place) else { return fail(Status::Invalid) };
    let address = address.addr() as u64;
    let Some(execmem::Found { extent, kind, owner }) = memory.engine().find(address) else {
        return fail(Error::NotFound { address });
    };
    let kind = (0..).take(3).find(|number| kind_of(*number) == Some(kind)).unwrap_or(-1);
    let bytes = usize::try_from(extent.len()).unwrap_or(usize::MAX);
    *place = Found { address: pointer(extent.start()), bytes, kind, owner: owner.0 };
    Status::Ok
}

/// Leaves a published allocation to its address.
///
/// # Safety
///
/// As in the header: `memory` is null or valid, `allocation` null or of it, and not used afterwards unless null is returned.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn execmem_keep(memory: *const CMemory, allocation: *mut Allocation) -> *mut c_void {
    // SAFETY: null or valid, says the caller.
    let memory = unsafe { memory.as_ref() };
    // SAFETY: null or valid, says the caller.
    let taken = unsafe { allocation.as_mut() };
    let (Some(CMemory(memory)), Some(taken)) = (memory, taken) else {
        fail(Status::Invalid);
        return std::ptr::null_mut();
    };
    if !std::ptr::eq(&raw const **memory.engine(), &raw const *taken.engine) {
        fail(Status::Invalid);
        return std::ptr::null_mut();
    }
    let Some(Stage::Live(live)) = taken.stage.take_if(|stage| matches!(stage, Stage::Live(_))) else {
        fail(Status::Stage);
        return std::ptr::null_mut();
    };
    // SAFETY: made by `execmem_alloc`, and given up, says the caller.
    drop(unsafe { Box::from_raw(allocation) });
    match memory.keep(live) {
        Ok(entry) => pointer(entry),
        Err(error) => {
            fail(error);
            std::ptr::null_mut()
        }
    }
}

/// Frees what was left to its address.
///
/// # Safety
///
/// As in the header: `memory` is null or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn execmem_free_at(memory: *const CMemory, address: *const c_void) -> Status {
    // SAFETY: null or valid, says the caller.
    let Some(CMemory(memory)) = (unsafe { memory.as_ref() }) else { return fail(Status::Invalid) };
    status(memory.free_at(address.addr() as u64))
}

fn pointer(address: u64) -> *mut c_void {
    usize::try_from(address).map_or(std::ptr::null_mut(), std::ptr::with_exposed_provenance_mut)
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
    extent.map_or(std::ptr::null_mut(), |extent| pointer(extent.start()))
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
    let (Some(allocation), Some(bytes)) = (allocation, bytes) else { return fail(Status::Invalid) };
    match &mut allocation.stage {
        Some(Stage::Draft(draft)) => status(allocation.engine.write(draft, offset as u64, bytes)),
        Some(Stage::Live(live)) => status(allocation.engine.write(live, offset as u64, bytes)),
        None => fail(Status::Invalid),
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
    let Some(allocation) = (unsafe { allocation.as_mut() }) else { return fail(Status::Invalid) };
    let (stage, outcome) = match allocation.stage.take() {
        Some(Stage::Draft(draft)) => match allocation.engine.publish(draft) {
            Ok(live) => (Some(Stage::Live(live)), Status::Ok),
            Err(failed) => (Some(Stage::Draft(failed.handle)), fail(failed.error)),
        },
        other => (other, fail(Status::Stage)),
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
    let (Some(allocation), Some(bytes)) = (allocation, bytes) else { return fail(Status::Invalid) };
    let (engine, offset) = (&allocation.engine, offset as u64);
    match (&allocation.stage, meanwhile) {
        (Some(Stage::Live(live)), 0) => status(engine.patch_unexecuted(live, offset, bytes)),
        (Some(Stage::Live(live)), 1) => status(engine.patch(live, offset, bytes)),
        (Some(Stage::Live(live)), 2) => status(engine.patch_literal(live, offset, bytes)),
        (Some(Stage::Draft(_)), 0..=2) => fail(Status::Stage),
        _ => fail(Status::Invalid),
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
