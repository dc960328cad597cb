//! `jit-PID.dump`: names and instructions with the time of their publication (jitdump-specification.txt of Linux).
#![expect(unsafe_code, reason = "maps its file, which is how perf learns of it")]

use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use rustix::mm::{MapFlags, ProtFlags};
use rustix::time::{ClockId, clock_gettime};

use super::{Code, Listener, file};
use crate::auxv::page_bytes;
use crate::fork::Mark;
use crate::per_process::PerProcess;

const MAGIC: u32 = 0x4a69_5444;
const VERSION: u32 = 1;
const HEADER_BYTES: u32 = 40;
const CODE_LOAD: u32 = 0;
/// Of a record of code, up to its name.
const LOAD_BYTES: usize = 56;

/// Machine numbers of ELF.
const MACHINE: u32 = if cfg!(target_arch = "x86_64") {
    62
} else if cfg!(target_arch = "aarch64") {
    183
} else if cfg!(target_arch = "riscv64") {
    243
} else {
    20
};

/// A record of published code for `perf inject --jit`. `perf record -k mono` must be running when it is created. A forked
/// child that publishes code has a record of its own.
#[derive(Debug)]
pub struct JitDump {
    folder: PathBuf,
    own: PerProcess<Dump>,
}

/// The record of one process.
#[derive(Debug)]
struct Dump {
    /// The file, and how many pieces of code are in it.
    state: Mutex<(File, u64)>,
    /// The mapping that `perf` sees.
    _seen: Seen,
}

/// Where the record of this process is in a folder.
fn path_in(folder: &Path) -> PathBuf {
    folder.join(format!("jit-{}.dump", std::process::id()))
}

/// A page of the file that is mapped executable. It is never read.
#[derive(Debug)]
struct Seen {
    start: usize,
    mark: Mark,
}

impl Dump {
    fn create_in(folder: &Path) -> io::Result<Self> {
        let mut file = file::open(&path_in(folder))?;
        // What another process with the same number left.
        file.set_len(0)?;
        let words = [MAGIC, VERSION, HEADER_BYTES, MACHINE, 0, std::process::id()].map(u32::to_ne_bytes);
        file.write_all(&[words.as_flattened(), &nanoseconds().to_ne_bytes(), &[0; 8]].concat())?;
        let seen = Seen::of(&file)?;
        Ok(Dump { state: Mutex::new((file, 0)), _seen: seen })
    }
}

impl Seen {
    fn of(file: &File) -> io::Result<Self> {
        let mark = Mark::of_this_process()?;
        let (rights, flags) = (ProtFlags::READ | ProtFlags::EXEC, MapFlags::PRIVATE);
        // SAFETY: without MAP_FIXED, and with a null hint, mmap(2) chooses addresses that nothing uses. The mapping is
        // never read.
        let start = unsafe { rustix::mm::mmap(std::ptr::null_mut(), page_bytes(), rights, flags, file, 0) }?;
        Ok(Seen { start: start.expose_provenance(), mark })
    }
}

impl Drop for Seen {
    fn drop(&mut self) {
        if self.mark.is_here() {
            let start = std::ptr::with_exposed_provenance_mut(self.start);
            // SAFETY: one page that was mapped when this was made, in this process; nothing points into it.
            let unmapped = unsafe { rustix::mm::munmap(start, page_bytes()) };
            debug_assert!(unmapped != Err(rustix::io::Errno::INVAL), "munmap of what is no range: {unmapped:?}");
        }
    }
}

impl JitDump {
    /// The record of this process, in a folder.
    ///
    /// # Errors
    ///
    /// If the file cannot be created, or cannot be mapped executable (a `noexec` mount); if there is one by that name that
    /// another user has, or that has another name too, or that is no file. Then nothing is written.
    pub fn create_in(folder: &Path) -> io::Result<Self> {
        let own = PerProcess::new(Dump::create_in(folder)?)?;
        Ok(JitDump { folder: folder.to_owned(), own })
    }

    /// Where the file of this process is; of a child, once it published something.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        path_in(&self.folder)
    }
}

impl Listener for JitDump {
    fn published(&self, code: &Code<'_>) -> io::Result<()> {
        let own = self.own.get_or_make(|_| Dump::create_in(&self.folder))?;
        let mut state = own.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (file, count) = &mut *state;
        let name = code.name.replace('\0', " ");
        let total = LOAD_BYTES + name.len() + 1 + code.bytes.len();
        let total = u32::try_from(total).map_err(|_| io::ErrorKind::InvalidInput)?;
        let thread = u32::try_from(rustix::thread::gettid().as_raw_nonzero().get()).unwrap_or(0);
        let load = [CODE_LOAD, total].map(u32::to_ne_bytes);
        let process = [std::process::id(), thread].map(u32::to_ne_bytes);
        let place = [code.address, code.address, code.bytes.len() as u64, *count].map(u64::to_ne_bytes);
        let (load, process, place) = (load.as_flattened(), process.as_flattened(), place.as_flattened());
        let record = [load, &nanoseconds().to_ne_bytes(), process, place, name.as_bytes(), &[0], code.bytes];
        // One write, so that a process that dies leaves whole records.
        file.write_all(&record.concat())?;
        *count += 1;
        Ok(())
    }

    /// The format has no way to say so.
    fn freed(&self, _address: u64) {}
}

/// The clock that `perf record -k mono` uses.
fn nanoseconds() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    u64::try_from(now.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(now.tv_nsec).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_are_those_of_the_clock() {
        let seconds = || u64::try_from(clock_gettime(ClockId::Monotonic).tv_sec).expect("since the system began");
        let (before, stamp, after) = (seconds(), nanoseconds(), seconds());
        assert!((before..=after).contains(&(stamp / 1_000_000_000)));
        assert!((0..1_000).map(|_| nanoseconds()).is_sorted());
    }
}
