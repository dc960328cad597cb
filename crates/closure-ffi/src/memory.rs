//! The memory, and what closure-ffi asks of it.
#![expect(unsafe_code, reason = "implements a trait with unsafe functions")]

use closure_ffi::jit_alloc::ProtectJitAccess;
use closure_ffi::{JitAlloc, JitAllocError};
use execmem::{Draft, Engine, Kind, PowerOfTwo, Request};
use execmem_linux::{ByAddress, Linux, shared, writable};

use crate::Error;

/// Executable memory for the thunks of closures: a [`JitAlloc`], which closures get by value.
///
/// Each thunk has two addresses: at one it is executed, through the other, a second mapping, closure-ffi writes it. The first
/// [`flush_instruction_cache`](JitAlloc::flush_instruction_cache) publishes a thunk: no store may follow.
///
/// A function pointer can outlive all that knows of it ([`BareFn::leak`](closure_ffi::BareFn::leak)). So the engine lives as long
/// as the process, and so does what is allocated for a memory: make one, and copy it.
///
/// A request is [`JitAllocError`] if it is for 0 bytes or more than 2 MiB, or if memory is exhausted; so is a release of
/// what is no thunk of this memory. In a forked child thunks can be called, and every request and release is refused; a
/// child makes a memory of its own.
///
/// ```
/// use closure_ffi::BareFn;
/// use execmem_closure_ffi::ThunkMemory;
///
/// let memory = ThunkMemory::shared()?;
/// let factor = 2;
/// let closure = BareFn::new_c_in(move |number: usize| factor * number, memory);
/// // Sound: `closure` lives as long as it is called.
/// assert_eq!(unsafe { closure.bare()(21) }, 42);
/// # Ok::<(), execmem_closure_ffi::Error>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub struct ThunkMemory {
    thunks: &'static ByAddress<&'static Engine<Linux>>,
    /// Bytes that the engine has before each thunk.
    lead: usize,
}

impl ThunkMemory {
    /// Memory of the engine that the process [shares](shared()).
    ///
    /// # Errors
    ///
    /// [`Error::Setup`], and those of [`new`](Self::new).
    pub fn shared() -> Result<Self, Error> {
        Self::new(shared()?)
    }

    /// Memory of an engine. One with its own options lives long enough once it is leaked (`Box::leak`).
    ///
    /// # Errors
    ///
    /// [`Error::NoWritableView`] unless code is mapped twice, as [`writable`] says; [`Error::Memory`].
    pub fn new(engine: &'static Engine<Linux>) -> Result<Self, Error> {
        let (draft, _) = written(engine, &Request::new(Kind::Text, 1))?;
        let lead = usize::try_from(engine.entry(&draft) - draft.address()).unwrap_or(0);
        engine.free(draft).map_err(execmem::Error::from)?;
        Ok(ThunkMemory { thunks: Box::leak(Box::new(ByAddress::new(engine))), lead })
    }

    /// The engine.
    #[must_use]
    pub const fn engine(&self) -> &'static Engine<Linux> {
        self.thunks.engine()
    }

    /// Thunks that were requested and not released.
    #[must_use]
    pub fn count(&self) -> usize {
        self.thunks.count()
    }

    fn request(&self, size: usize) -> Result<(u64, *mut u8), Error> {
        let (engine, request) = (self.engine(), Request::new(Kind::Text, size as u64));
        let (draft, pointer) = written(engine, &request).or_else(|refused| match refused {
            // It may lie in two units, each of which has a view of its own; what is aligned to its length does not.
            Error::NoWritableView { .. } => {
                written(engine, &request.aligned(alignment(size.saturating_add(self.lead))))
            }
            refused => Err(refused),
        })?;
        Ok((self.thunks.keep_draft(draft)?, pointer.wrapping_add(self.lead)))
    }
}

/// A draft, and the address through which it is written.
fn written(engine: &Engine<Linux>, request: &Request) -> Result<(Draft, *mut u8), Error> {
    let mut draft = engine.request(request)?;
    match writable(engine, &mut draft) {
        Some(pointer) => Ok((draft, pointer)),
        None => {
            engine.free(draft).map_err(execmem::Error::from)?;
            Err(Error::NoWritableView { publish: engine.facts().publish() })
        }
    }
}

/// The smallest at which an allocation of that size never crosses a multiple of 2 MiB, if one of its size fits.
fn alignment(size: usize) -> PowerOfTwo {
    let bytes = size.checked_next_power_of_two().and_then(|bytes| PowerOfTwo::from_bytes(bytes as u64));
    bytes.unwrap_or(PowerOfTwo::from_log2(0))
}

impl JitAlloc for ThunkMemory {
    fn alloc(&self, size: usize) -> Result<(*const u8, *mut u8), JitAllocError> {
        let (address, pointer) = self.request(size).map_err(|_| JitAllocError)?;
        let address = usize::try_from(address).map_err(|_| JitAllocError)?;
        Ok((std::ptr::with_exposed_provenance(address), pointer))
    }

    unsafe fn release(&self, rx_ptr: *const u8) -> Result<(), JitAllocError> {
        self.thunks.free_at(rx_ptr.addr() as u64).map_err(|_| JitAllocError)
    }

    /// Nothing: the rights of neither address ever change.
    unsafe fn protect_jit_memory(&self, _: *const u8, _: usize, _: ProtectJitAccess) {}

    /// Publishes the thunk. What is no thunk of this memory is left alone.
    unsafe fn flush_instruction_cache(&self, rx_ptr: *const u8, _: usize) {
        // What is refused stays a draft, which can be released.
        let _ = self.thunks.publish_at(rx_ptr.addr() as u64);
    }
}
