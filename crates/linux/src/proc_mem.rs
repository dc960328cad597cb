//! The kernel's writes to memory of this process that the process itself may not write to (`/proc/self/mem`).
//!
//! The file is opened for each of them: a descriptor that is kept could be closed and given to another file by the
//! program, and a child would write to the memory of its parent with it.

use std::os::fd::OwnedFd;

use execmem_types::{Protection, Trap};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use crate::fork;
use crate::view::{Part, View};

/// Bytes of a pattern that are written at once.
const PIECE: usize = 4096;

fn open(flags: OFlags) -> Result<OwnedFd, Errno> {
    rustix::fs::open(c"/proc/self/mem", flags | OFlags::CLOEXEC, Mode::empty())
}

/// Makes sure that the kernel writes to a page of a view, in which nothing is mapped, that can be executed and not written.
pub(crate) fn probe(view: &View, page: Part) -> Result<(), Errno> {
    let written = view.map_private(page, Protection::ReadExecute).and_then(|()| {
        check_process()?;
        write(view.range(page)?.addr() as u64, &[0])
    });
    written.and(view.reset(page))
}

/// Makes sure that the file is the memory of this process: of an emulator of processes it is the emulator's.
fn check_process() -> Result<(), Errno> {
    let _kept_away = fork::keep_away();
    let mark: [u8; 16] = 0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c834_u128.to_ne_bytes();
    let mark = std::hint::black_box(&mark);
    let mut seen = [0; 16];
    let read = rustix::io::pread(open(OFlags::RDONLY)?, &mut seen, mark.as_ptr().addr() as u64)?;
    if read == seen.len() && seen == *mark { Ok(()) } else { Err(Errno::NODEV) }
}

/// Copies bytes to an address. Callers answer for what is there: this reaches all memory of the process.
pub(crate) fn write(address: u64, bytes: &[u8]) -> Result<(), Errno> {
    let _kept_away = fork::keep_away();
    write_to(&open(OFlags::WRONLY)?, address, bytes)
}

fn write_to(memory: &OwnedFd, address: u64, bytes: &[u8]) -> Result<(), Errno> {
    let (mut address, mut rest) = (address, bytes);
    while !rest.is_empty() {
        let written = rustix::io::retry_on_intr(|| rustix::io::pwrite(memory, rest, address))?;
        if written == 0 {
            return Err(Errno::IO);
        }
        address += written as u64;
        rest = &rest[written..];
    }
    Ok(())
}

/// Fills memory with a pattern. Callers answer for what is there.
pub(crate) fn fill(address: u64, len: usize, pattern: Trap) -> Result<(), Errno> {
    let _kept_away = fork::keep_away();
    let memory = open(OFlags::WRONLY)?;
    let mut piece = [0; PIECE];
    let piece = &mut piece[..len.min(PIECE)];
    pattern.fill(address, piece);
    // The pattern repeats every four bytes, so a whole piece keeps its phase.
    (0..len).step_by(PIECE).try_for_each(|offset| {
        let part = &piece[..piece.len().min(len - offset)];
        write_to(&memory, address + offset as u64, part)
    })
}
