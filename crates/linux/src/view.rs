//! Stretches of addresses that belong to this crate: how they are found, what is mapped there, and how they go back.
#![expect(unsafe_code, reason = "changes mappings: a wrong range would pull memory from under another owner")]

use std::ffi::c_void;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};

use execmem_types::Protection;
use rustix::io::Errno;
use rustix::mm::{MapFlags, MprotectFlags, MremapFlags, ProtFlags};

use crate::auxv;
use crate::fork::Mark;
use crate::host::LARGE;
use crate::random::Random;

/// `PROT_BTI` of asm/mman.h and `HWCAP2_BTI` of asm/hwcap.h on arm64.
const PROT_BTI: u32 = 0x10;
const HWCAP2_BTI: usize = 1 << 17;

/// `mseal` (since Linux 6.10) has one number on every machine.
const SYS_MSEAL: libc::c_long = 462;

/// How often a random place is tried before the kernel chooses one.
const ATTEMPTS: usize = 32;

/// Nothing is placed below by chance: programs that are not position-independent, and 32-bit pointers, live there.
const LOWEST: u64 = if usize::BITS == 64 { 1 << 36 } else { 1 << 24 };

/// Left free below the stack of the main thread.
const STACK_ROOM: u64 = if usize::BITS == 64 { 4 << 30 } else { 64 << 20 };

/// Part of a view: an offset and a length in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) offset: usize,
    pub(crate) len: usize,
}

impl Part {
    /// A part. Where it matters, [`View`] checks that it lies in the view.
    pub(crate) const fn new(offset: usize, len: usize) -> Self {
        Part { offset, len }
    }

    /// Offset of the first byte behind it.
    pub(crate) const fn end(self) -> usize {
        self.offset + self.len
    }
}

/// Addresses that were reserved here, and what is mapped there.
///
/// # Invariants
///
/// In the process of `mark`, `len` bytes from `start` were mapped by this value and belong to it until it is dropped:
/// there is a mapping at every address of them at any time, and no Rust reference points into them. `start` is a
/// multiple of 2 MiB.
pub(crate) struct View {
    start: usize,
    len: usize,
    mark: Mark,
    /// Part of it was [sealed](Self::seal) and cannot be unmapped.
    is_sealed: AtomicBool,
    /// Whether what becomes executable is checked for landing pads.
    guards_branches: AtomicBool,
}

impl View {
    /// Reserves these addresses, which start at a multiple of 2 MiB, unless something is mapped at any of them.
    pub(crate) fn at(start: usize, len: usize, mark: Mark) -> Result<View, Errno> {
        // SAFETY: MAP_FIXED_NOREPLACE never replaces a mapping; a kernel that does not know it (before 4.17) takes the
        // address for a hint.
        let found = unsafe { reserve(pointer(start).cast::<c_void>(), len, MapFlags::FIXED_NOREPLACE) }?.addr();
        if found != start {
            // Owned from here on, so that it is unmapped.
            drop(View::of(found, len, mark));
            return Err(Errno::EXIST);
        }
        let view = View::of(start, len, mark);
        // After mlockall(2) it would count against what may be locked, although nothing is there.
        let _ = view.unlock(view.whole());
        Ok(view)
    }

    /// Reserves addresses at random.
    pub(crate) fn somewhere(len: usize, random: &Random, mark: Mark) -> Result<View, Errno> {
        let (low, high) = (LARGE.round_down(LOWEST), top().saturating_sub(len as u64));
        let places = high.saturating_sub(low) / LARGE.bytes();
        for _ in 0..ATTEMPTS {
            let start = low + LARGE.bytes() * random.below(places);
            let start = usize::try_from(start).map_err(|_| Errno::OVERFLOW)?;
            match View::at(start, len, mark) {
                Err(Errno::EXIST) => {}
                done => return done,
            }
        }
        View::chosen(len, mark)
    }

    /// Reserves addresses that the kernel chooses.
    fn chosen(len: usize, mark: Mark) -> Result<View, Errno> {
        let align = usize::try_from(LARGE.bytes()).map_err(|_| Errno::OVERFLOW)?;
        let longer = len.checked_add(align).ok_or(Errno::OVERFLOW)?;
        // SAFETY: without MAP_FIXED, and with a null hint, mmap(2) chooses addresses that nothing uses.
        let found = unsafe { reserve(std::ptr::null_mut(), longer, MapFlags::empty()) }?.addr();
        let start = found.next_multiple_of(align);
        for (cut, len) in [(found, start - found), (start + len, found + longer - (start + len))] {
            if len > 0 {
                // SAFETY: the bytes lie in what was mapped just now and is known to no other code; none of them belong
                // to the view.
                unsafe { rustix::mm::munmap(pointer(cut).cast::<c_void>(), len) }?;
            }
        }
        Ok(View::of(start, len, mark))
    }

    const fn of(start: usize, len: usize, mark: Mark) -> View {
        View { start, len, mark, is_sealed: AtomicBool::new(false), guards_branches: AtomicBool::new(false) }
    }

    /// First address.
    pub(crate) const fn start(&self) -> usize {
        self.start
    }

    /// All of it.
    pub(crate) const fn whole(&self) -> Part {
        Part::new(0, self.len)
    }

    /// The first address of a part. `None` unless it lies in the view.
    #[inline]
    pub(crate) fn address(&self, part: Part) -> Option<*mut u8> {
        let fits = part.offset <= self.len && part.len <= self.len - part.offset;
        fits.then(|| pointer(self.start + part.offset))
    }

    /// The same for a system call.
    pub(crate) fn range(&self, part: Part) -> Result<*mut c_void, Errno> {
        Ok(self.address(part).ok_or(Errno::RANGE)?.cast::<c_void>())
    }

    /// Maps a file from a position in it over a part, in one step, shared with every other mapping of the file.
    pub(crate) fn map_file(
        &self,
        part: Part,
        file: impl AsFd,
        position: usize,
        protection: Protection,
    ) -> Result<(), Errno> {
        let flags = MapFlags::SHARED | MapFlags::FIXED | MapFlags::NORESERVE;
        let rights = ProtFlags::from_bits_retain(self.flags_of(protection).bits());
        // SAFETY: MAP_FIXED replaces `len` bytes that lie in the view, which this value owns; an access to them sees
        // the old mapping or the new.
        unsafe { rustix::mm::mmap(self.range(part)?, part.len, rights, flags, file, position as u64) }?;
        Ok(())
    }

    /// Maps fresh memory of this process alone over a part, in one step. It is zero.
    pub(crate) fn map_private(&self, part: Part, protection: Protection) -> Result<(), Errno> {
        let flags = MapFlags::PRIVATE | MapFlags::FIXED | MapFlags::NORESERVE;
        let rights = ProtFlags::from_bits_retain(self.flags_of(protection).bits());
        // SAFETY: as in `map_file`.
        unsafe { rustix::mm::mmap_anonymous(self.range(part)?, part.len, rights, flags) }?;
        Ok(())
    }

    /// Maps fresh memory that is shared with duplicates of it over a part, in one step.
    pub(crate) fn map_shared(&self, part: Part, protection: Protection) -> Result<(), Errno> {
        let flags = MapFlags::SHARED | MapFlags::FIXED | MapFlags::NORESERVE;
        let rights = ProtFlags::from_bits_retain(self.flags_of(protection).bits());
        // SAFETY: as in `map_file`.
        unsafe { rustix::mm::mmap_anonymous(self.range(part)?, part.len, rights, flags) }?;
        Ok(())
    }

    /// Makes a part what it was at first: reserved. What was behind it goes back unless it is mapped elsewhere.
    pub(crate) fn reset(&self, part: Part) -> Result<(), Errno> {
        self.map_private(part, Protection::NoAccess)
    }

    /// Maps what is behind the beginning of this view, which is shared memory, over a part of another as well, in one
    /// step.
    pub(crate) fn duplicate_onto(&self, to: &View, part: Part) -> Result<(), Errno> {
        let from = self.range(Part::new(0, part.len))?;
        // SAFETY: mremap(2) with an old size of 0 leaves the old mapping, which is shared, as it is; the new one
        // replaces bytes that lie in the other view, which owns them.
        unsafe { move_mapping(from, 0, to.range(part)?, part.len) }
    }

    /// Moves the mapping of this view over a part of another, of its length, in one step.
    pub(crate) fn move_onto(self, to: &View, part: Part) -> Result<(), Errno> {
        if part.len != self.len {
            return Err(Errno::INVAL);
        }
        let (from, target) = (self.range(part_of_len(self.len))?, to.range(part)?);
        // SAFETY: the bytes belong to this value, which gives them up, and replace bytes that lie in the other view,
        // which owns them.
        unsafe { move_mapping(from, self.len, target, self.len) }?;
        // Its addresses are free now.
        std::mem::forget(self);
        Ok(())
    }

    /// Extends the mapping of shared memory at the beginning of a part over all of it, in one step: the same rights, the
    /// bytes that follow in the file.
    pub(crate) fn extend(&self, part: Part) -> Result<(), Errno> {
        let from = self.range(part)?;
        // SAFETY: with an old size of 0 the old mapping, which is shared, stays as it is, and the kernel chooses
        // addresses for the new one that nothing uses (mremap(2)).
        let longer = unsafe { rustix::mm::mremap(from, 0, part.len, MremapFlags::MAYMOVE) }?;
        // SAFETY: what was mapped just now, and is known to no other code, replaces bytes that lie in the view.
        let moved = unsafe { move_mapping(longer, part.len, self.range(part)?, part.len) };
        if let Err(errno) = moved {
            // SAFETY: as before; it did not move.
            unsafe { rustix::mm::munmap(longer, part.len) }?;
            return Err(errno);
        }
        Ok(())
    }

    /// Changes the rights of a part.
    pub(crate) fn protect(&self, part: Part, protection: Protection) -> Result<(), Errno> {
        // SAFETY: the range lies in the view, which this value owns, and no Rust reference points into it, so no
        // reference loses rights it relies on (mprotect(2) changes nothing but the rights of the pages named).
        unsafe { rustix::mm::mprotect(self.range(part)?, part.len, self.flags_of(protection)) }
    }

    /// Keeps the mappings of a part as they are until the process ends (mseal(2)).
    pub(crate) fn seal(&self, part: Part) -> Result<(), Errno> {
        // SAFETY: mseal changes neither content nor rights; that the range cannot be unmapped any more is noted.
        let outcome = unsafe { libc::syscall(SYS_MSEAL, self.range(part)?, part.len, 0) };
        if outcome != 0 {
            return Err(last_error());
        }
        self.is_sealed.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// Lets indirect branches into what becomes executable from now on end at landing pads only (BTI of arm64). False
    /// if the processor cannot check that.
    pub(crate) fn guard_branches(&self) -> bool {
        let can_guard = cfg!(target_arch = "aarch64") && auxv::features() & HWCAP2_BTI != 0;
        self.guards_branches.fetch_or(can_guard, Ordering::Relaxed);
        can_guard
    }

    fn flags_of(&self, protection: Protection) -> MprotectFlags {
        match protection {
            Protection::NoAccess => MprotectFlags::empty(),
            Protection::ReadOnly => MprotectFlags::READ,
            Protection::ReadWrite => MprotectFlags::READ | MprotectFlags::WRITE,
            Protection::ReadExecute if self.guards_branches.load(Ordering::Relaxed) => {
                MprotectFlags::READ | MprotectFlags::EXEC | MprotectFlags::from_bits_retain(PROT_BTI)
            }
            Protection::ReadExecute => MprotectFlags::READ | MprotectFlags::EXEC,
        }
    }
}

impl Drop for View {
    /// Gives the addresses back, in the process that reserved them only: in another they may be another owner's.
    fn drop(&mut self) {
        if !self.mark.is_here() {
            return;
        }
        // What is sealed stays, and the rest goes piece by piece.
        let is_sealed = self.is_sealed.load(Ordering::Relaxed);
        let step = if is_sealed { usize::try_from(LARGE.bytes()).unwrap_or(self.len) } else { self.len };
        for offset in (0..self.len).step_by(step.max(1)) {
            let start = pointer(self.start + offset).cast::<c_void>();
            // SAFETY: the range belongs to this value (invariant), is unmapped only here, and nothing points into it:
            // accesses go through the window that owned this view. Code that still runs in it is its caller's business.
            let unmapped = unsafe { rustix::mm::munmap(start, step.min(self.len - offset)) };
            // A process that may have no more mappings, or whose filter forbids it, keeps the addresses.
            debug_assert!(is_sealed || unmapped != Err(Errno::INVAL), "munmap of what is no range: {unmapped:?}");
        }
    }
}

impl std::fmt::Debug for View {
    /// Does not tell where it is: a view may be writable.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("View").field("len", &self.len).finish_non_exhaustive()
    }
}

const fn part_of_len(len: usize) -> Part {
    Part::new(0, len)
}

fn pointer(address: usize) -> *mut u8 {
    std::ptr::with_exposed_provenance_mut(address)
}

/// Where a random place ends at most: below the stack of the main thread, which lies at the top of the address space.
fn top() -> u64 {
    (auxv::program_name() as u64).saturating_sub(STACK_ROOM)
}

/// Maps addresses without access or memory.
///
/// # Safety
///
/// As for mmap(2) with `flags`: without `MAP_FIXED`, nothing.
unsafe fn reserve(hint: *mut c_void, len: usize, flags: MapFlags) -> Result<*mut c_void, Errno> {
    let flags = flags | MapFlags::PRIVATE | MapFlags::NORESERVE;
    // SAFETY: the caller's.
    unsafe { rustix::mm::mmap_anonymous(hint, len, ProtFlags::empty(), flags) }
}

/// Moves a mapping, of which `len` bytes are left, over the `to_len` bytes at `to`: `mremap(2)` with `MREMAP_FIXED`.
/// Rustix 1.1.6 passes `MAP_FIXED` for it where it calls the C library (32-bit PowerPC), which Linux refuses.
///
/// # Safety
///
/// The `to_len` bytes at `to`, and the `len` bytes at `from`, belong to the caller, and no reference points into them.
unsafe fn move_mapping(from: *mut c_void, len: usize, to: *mut c_void, to_len: usize) -> Result<(), Errno> {
    // SAFETY: guaranteed by the caller.
    let moved = unsafe { libc::mremap(from, len, to_len, libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED, to) };
    if moved == libc::MAP_FAILED { Err(last_error()) } else { Ok(()) }
}

pub(crate) fn last_error() -> Errno {
    Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)
}
