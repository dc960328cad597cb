//! What the kernel is asked to do with the memory behind a view: large pages, pages now, not in children or dumps.
//!
//! None of it changes rights, and only [`View::punch`] changes content.
#![expect(unsafe_code, reason = "calls the kernel with ranges of addresses")]

use execmem_types::Protection;
use rustix::io::Errno;
use rustix::mm::Advice;

use crate::view::{Part, View, last_error};

/// `MADV_COLLAPSE` of linux/mman.h, since Linux 6.1. Not in rustix.
const MADV_COLLAPSE: libc::c_int = 25;

/// Nodes that a mask can name.
const NODES: usize = 1024;
const WORD_BITS: usize = libc::c_ulong::BITS as usize;

/// How often pages that are in use at the moment are waited for.
const BUSY_ATTEMPTS: usize = 64;

impl View {
    fn advise(&self, part: Part, advice: Advice) -> Result<(), Errno> {
        // SAFETY: the range lies in a view that this value owns, and the advice given in this file changes no rights and,
        // but for `punch`, whose callers want it, no content (madvise(2)).
        unsafe { rustix::mm::madvise(self.range(part)?, part.len, advice) }
    }

    /// Asks for a part to be mapped in large pages, now. Pages that are in use are waited for, a little.
    pub(crate) fn collapse(&self, part: Part) -> Result<(), Errno> {
        for _ in 0..BUSY_ATTEMPTS {
            // SAFETY: as in `advise`; MADV_COLLAPSE changes only how memory is backed.
            let outcome = unsafe { libc::madvise(self.range(part)?, part.len, MADV_COLLAPSE) };
            match if outcome == 0 { Ok(()) } else { Err(last_error()) } {
                Err(Errno::AGAIN) => std::thread::yield_now(),
                done => return done,
            }
        }
        Err(Errno::AGAIN)
    }

    /// Tells the kernel that large pages are welcome in a part, or that they are not.
    pub(crate) fn welcome_large(&self, part: Part, is_welcome: bool) -> Result<(), Errno> {
        self.advise(part, if is_welcome { Advice::LinuxHugepage } else { Advice::LinuxNoHugepage })
    }

    /// Makes a part that is accessible have all its pages, mapped, as if each was written or, without the right to, read.
    /// Running out of memory is an error here; for an access it would be a signal.
    pub(crate) fn populate(&self, part: Part, protection: Protection) -> Result<(), Errno> {
        let advice = if protection.is_writable() { Advice::LinuxPopulateWrite } else { Advice::LinuxPopulateRead };
        loop {
            match self.advise(part, advice) {
                // What the kernel says where an access would get a bus error: no memory for a page of a file.
                Err(Errno::FAULT) => return Err(Errno::NOMEM),
                Err(Errno::INTR) => {}
                // Before Linux 5.14.
                Err(Errno::INVAL) => return Ok(()),
                done => return done,
            }
        }
    }

    /// Gives memory of a file back that a part shows. Reads as zero wherever it is mapped. Not where the file is sealed.
    pub(crate) fn punch(&self, part: Part) -> Result<(), Errno> {
        self.advise(part, Advice::LinuxRemove)
    }

    /// Takes a part out of what the process locked in memory.
    pub(crate) fn unlock(&self, part: Part) -> Result<(), Errno> {
        // SAFETY: the range lies in a view that this value owns; munlock(2) changes neither content nor rights.
        unsafe { rustix::mm::munlock(self.range(part)?, part.len) }
    }

    /// Keeps the view out of processes that are forked from this one.
    pub(crate) fn keep_from_children(&self, part: Part) -> Result<(), Errno> {
        self.advise(part, Advice::LinuxDontFork)
    }

    /// Keeps a part out of core dumps, or lets it in again.
    pub(crate) fn set_dumped(&self, part: Part, is_dumped: bool) -> Result<(), Errno> {
        self.advise(part, if is_dumped { Advice::LinuxDoDump } else { Advice::LinuxDontDump })
    }

    /// Asks for the memory of a part to come from a NUMA node if it has some.
    pub(crate) fn prefer(&self, part: Part, node: u32) -> Result<(), Errno> {
        let node = usize::try_from(node).ok().filter(|node| *node < NODES).ok_or(Errno::INVAL)?;
        let mut mask: [libc::c_ulong; NODES / WORD_BITS] = [0; _];
        mask[node / WORD_BITS] = 1 << (node % WORD_BITS);
        let start = self.range(part)?;
        // The kernel takes one bit less than it is told.
        let bits = NODES + 1;
        // SAFETY: mbind(2) reads that many bits from `mask`, and changes neither content nor rights of memory.
        let outcome =
            unsafe { libc::syscall(libc::SYS_mbind, start, part.len, libc::MPOL_PREFERRED, mask.as_ptr(), bits, 0) };
        if outcome == 0 { Ok(()) } else { Err(last_error()) }
    }
}
