//! What a port brings: its memory, and what happens when the processor uses it.

use execmem_types::{Backend, Extent, PageSize, Protection, Trap};

use crate::Need;

/// A backend that threads share.
pub trait Memory: Backend + Sync {}

impl<B: Backend + Sync> Memory for B {}

/// A backend under test, and what its author knows of it.
#[derive(Clone, Copy)]
pub struct Port<'p> {
    /// The backend. No engine uses it meanwhile.
    pub memory: &'p dyn Memory,
    /// What happens when the processor uses memory.
    pub probe: &'p dyn Probe,
    /// Addresses that the backend manages, all of them absent: at least 4 of the largest of `pages`, aligned to them.
    pub window: Extent,
    /// Sizes of leaves to check, smallest first. The first is the page size of the machine.
    pub pages: &'p [PageSize],
    /// An instruction that traps.
    pub trap: Trap,
    /// An instruction that returns to the caller.
    pub returns: Trap,
    /// What cannot be checked here. The port passes if nothing else was not checkable.
    pub lacks: &'p [Need],
}

impl core::fmt::Debug for Port<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Port").field("window", &self.window).field("pages", &self.pages).finish_non_exhaustive()
    }
}

/// How an access of the processor ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attempt {
    /// It was done.
    Done,
    /// The processor raised an exception instead.
    Faulted,
}

/// The processor's own view of memory, and the port's frames.
///
/// Accesses use the address itself, as any instruction of the kernel does, and survive an exception: its handler notes the
/// fault and goes on behind the access. They happen on the processor that calls.
///
/// Everything behind the first three methods is optional. What a port does not have, it [declares](Port::lacks).
pub trait Probe: Sync {
    /// Calls the code at an address. It returns at once, or traps: both [`Port::returns`] and [`Port::trap`] are tried.
    ///
    /// A handler that finds a fault ends the call for it: it continues at the return address.
    fn execute(&self, address: u64) -> Attempt;

    /// Loads bytes by one instruction: 1, 2, 4 or 8 bytes, at a multiple of their number.
    fn load(&self, address: u64, bytes: &mut [u8]) -> Attempt;

    /// Stores a byte.
    fn store(&self, address: u64, byte: u8) -> Attempt;

    /// Another address at which the byte at `address` is mapped now, or would be if the mapping were there: in a map of all
    /// memory, say. The `index`-th of them. `None` if there are no more, or the port does not know.
    ///
    /// A mapping that only the backend's own `write` uses, and that is writable on purpose, is none.
    fn view(&self, address: u64, index: usize) -> Option<u64> {
        let _ = (address, index);
        None
    }

    /// Memory that is mapped already and that `adopt` may take over, at least two pages with these rights, for good.
    fn foreign(&self) -> Option<(Extent, Protection)> {
        None
    }

    /// Frames in use: those of memory and those of page tables. Tables that the port keeps once it has them do not count.
    fn frames(&self) -> Option<u64> {
        None
    }

    /// Refuses, once, the frame after the next `after` that are taken; with `None` refuses nothing any more. `false` if the
    /// port cannot.
    fn refuse_frame(&self, after: Option<u64>) -> bool {
        let _ = after;
        false
    }

    /// Holds back frames, or stops doing so: a call that takes one waits until this is called with `false`, but not for
    /// ever, so that a backend with a defect is found and does not hang. `false` if the port cannot.
    fn hold_frames(&self, holds: bool) -> bool {
        let _ = holds;
        false
    }

    /// Whether a frame is being held back.
    fn is_held(&self) -> bool {
        false
    }

    /// Runs `here` on this processor and `there` on a second one at the same time, and returns when both have. `false`, and
    /// runs none, if there is no second processor.
    fn together(&self, here: &mut dyn FnMut(), there: &mut (dyn FnMut() + Send)) -> bool {
        let _ = (here, there);
        false
    }

    /// Runs `body` where [`check_caller`](Backend::check_caller) refuses, and returns what it returns. `None` if there is no
    /// such place.
    fn where_refused(&self, body: &dyn Fn() -> u8) -> Option<u8> {
        let _ = body;
        None
    }
}
