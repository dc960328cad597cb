//! Writes by the kernel: `/proc/self/mem`, through which a process changes its own private memory whatever the rights
//! of the mapping are (proc(5)). So text that is mapped once is never writable, not even while it is changed.

use std::os::fd::OwnedFd;

use execmem_types::Trap;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use crate::view::Origin;

/// Bytes of a pattern that are written at once.
const PIECE: usize = 4096;

/// The file. A child's copy of it would still write to the memory of this process.
#[derive(Debug)]
pub(crate) struct ProcMem {
    file: OwnedFd,
    pub(crate) origin: Origin,
}

impl ProcMem {
    /// Opens the file of this process.
    pub(crate) fn open() -> Result<Self, Errno> {
        let file = rustix::fs::open("/proc/self/mem", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
        let origin = Origin::mark()?;
        // In an emulator of processes it is the emulator's memory, where the mark is not.
        let (mut seen, mut mark) = ([0; 64], [0; 64]);
        mark[0] = Origin::MARK;
        let read = rustix::io::pread(&file, &mut seen, origin.address())?;
        if read == seen.len() && seen == mark { Ok(ProcMem { file, origin }) } else { Err(Errno::NODEV) }
    }

    /// Copies bytes to an address. Callers answer for what is there: this reaches all memory of the process.
    pub(crate) fn write(&self, address: u64, bytes: &[u8]) -> Result<(), Errno> {
        let (mut address, mut rest) = (address, bytes);
        while !rest.is_empty() {
            let written = rustix::io::retry_on_intr(|| rustix::io::pwrite(&self.file, rest, address))?;
            if written == 0 {
                return Err(Errno::IO);
            }
            address += written as u64;
            rest = &rest[written..];
        }
        Ok(())
    }

    /// Fills memory with a pattern. Callers answer for what is there.
    pub(crate) fn fill(&self, address: u64, len: usize, pattern: Trap) -> Result<(), Errno> {
        let mut piece = [0; PIECE];
        let piece = &mut piece[..len.min(PIECE)];
        pattern.fill(address, piece);
        // The pattern repeats every four bytes, so a whole piece keeps its phase.
        (0..len).step_by(PIECE).try_for_each(|offset| {
            let part = &piece[..piece.len().min(len - offset)];
            self.write(address + offset as u64, part)
        })
    }
}
