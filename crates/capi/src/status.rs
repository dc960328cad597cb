//! Statuses, and the text of what failed last.

use std::cell::Cell;
use std::ffi::{CStr, c_char};
use std::fmt::{self, Write as _};
use std::mem::MaybeUninit;

use execmem::{BackendError, Error};
use execmem_linux::SetupError;

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
    /// Nothing is at this address.
    Absent = 8,
}

/// The texts of statuses, in their order.
const TEXTS: [&CStr; 9] = [
    c"done",
    c"a null pointer, or an argument that makes no sense",
    c"no addresses or no memory left",
    c"an access outside the allocation",
    c"not possible at this stage, or for this kind",
    c"the operating system refused",
    c"so many bytes do not change in one piece",
    c"this process was forked from the one that made the memory",
    c"nothing is at this address",
];

/// Why a call failed.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Failure {
    Status(Status),
    Engine(Error),
    Setup(SetupError),
}

thread_local! {
    static LAST: Cell<Failure> = const { Cell::new(Failure::Status(Status::Ok)) };
}

/// Notes why a call failed, and says it in a word.
pub(crate) fn fail(failure: impl Into<Failure>) -> Status {
    let failure = failure.into();
    LAST.set(failure);
    match failure {
        Failure::Status(status) => status,
        Failure::Engine(error) | Failure::Setup(SetupError::Engine(error)) => status_of(error),
        Failure::Setup(_) => Status::System,
    }
}

/// The status of an outcome.
pub(crate) fn status(outcome: Result<(), impl Into<Failure>>) -> Status {
    outcome.map_or_else(fail, |()| Status::Ok)
}

const fn status_of(error: Error) -> Status {
    match error {
        Error::ZeroSize { .. } | Error::BadAlignment { .. } | Error::BadCut { .. } => Status::Invalid,
        Error::TooLarge { .. } | Error::Exhausted { .. } | Error::OutOfMemory => Status::Exhausted,
        Error::OutOfBounds { .. } => Status::Bounds,
        Error::WrongKind { .. } => Status::Stage,
        Error::Backend { source: BackendError::Forked, .. } => Status::Forked,
        Error::NotWhole { .. } => Status::Pieces,
        Error::NotFound { .. } => Status::Absent,
        _ => Status::System,
    }
}

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        Failure::Status(status)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure::Engine(error)
    }
}

impl From<SetupError> for Failure {
    fn from(error: SetupError) -> Self {
        Failure::Setup(error)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Status(status) => f.write_str(&text(*status as usize).to_string_lossy()),
            Failure::Engine(error) => error.fmt(f),
            Failure::Setup(error) => error.fmt(f),
        }
    }
}

fn text(number: usize) -> &'static CStr {
    TEXTS.get(number).copied().unwrap_or(c"an unknown status")
}

/// The meaning of a status, in words.
#[unsafe(no_mangle)]
pub extern "C" fn execmem_status_text(status: u32) -> *const c_char {
    text(usize::try_from(status).unwrap_or(usize::MAX)).as_ptr()
}

/// Copies the text of the last failure of this thread.
///
/// # Safety
///
/// As in the header: `bytes` bytes at `text` are writable, or `text` is null.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn execmem_error_text(text: *mut c_char, bytes: usize) -> usize {
    let is_one_object = isize::try_from(bytes).is_ok();
    let room = match !text.is_null() && is_one_object {
        // SAFETY: writable, says the caller; neither null nor longer than an object can be.
        true => unsafe { std::slice::from_raw_parts_mut(text.cast::<MaybeUninit<u8>>(), bytes) },
        false => &mut [],
    };
    let mut buffer = Buffer { room, len: 0 };
    // A buffer takes everything.
    let _ = write!(buffer, "{}", LAST.get());
    let end = buffer.len.min(buffer.room.len().saturating_sub(1));
    if let Some(last) = buffer.room.get_mut(end) {
        last.write(0);
    }
    buffer.len
}

/// A place for text in memory of the caller, which counts what does not fit.
struct Buffer<'b> {
    room: &'b mut [MaybeUninit<u8>],
    len: usize,
}

impl fmt::Write for Buffer<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            if let Some(place) = self.room.get_mut(self.len) {
                place.write(byte);
            }
            self.len += 1;
        }
        Ok(())
    }
}
