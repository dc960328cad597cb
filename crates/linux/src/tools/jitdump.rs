//! `jit-PID.dump`: names and instructions with the time of their publication (jitdump-specification.txt of Linux).
#![expect(unsafe_code, reason = "maps its file, which is how perf learns of it")]

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use rustix::mm::{MapFlags, ProtFlags};
use rustix::time::{ClockId, clock_gettime};

use super::{Code, Listener};

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

/// A record of published code for `perf inject --jit`. `perf record -k mono` must be running when it is created.
#[derive(Debug)]
pub struct JitDump {
    path: PathBuf,
    /// The file, and how many pieces of code are in it.
    state: Mutex<(File, u64)>,
    /// The mapping that `perf` sees.
    mark: usize,
}

impl JitDump {
    /// The record of this process, in a folder.
    ///
    /// # Errors
    ///
    /// If the file cannot be created, or cannot be mapped executable (a `noexec` mount).
    pub fn create_in(folder: &Path) -> io::Result<Self> {
        let path = folder.join(format!("jit-{}.dump", std::process::id()));
        let mut options = OpenOptions::new();
        options.create(true).truncate(true).read(true).write(true);
        let mut file = options.custom_flags(libc::O_NOFOLLOW).mode(0o600).open(&path)?;
        let words = [MAGIC, VERSION, HEADER_BYTES, MACHINE, 0, std::process::id()].map(u32::to_ne_bytes);
        file.write_all(&[words.as_flattened(), &nanoseconds().to_ne_bytes(), &[0; 8]].concat())?;
        let flags = (ProtFlags::READ | ProtFlags::EXEC, MapFlags::PRIVATE);
        // SAFETY: without MAP_FIXED, and with a null hint, mmap(2) chooses addresses that nothing uses. The mapping is
        // never read.
        let mark =
            unsafe { rustix::mm::mmap(std::ptr::null_mut(), rustix::param::page_size(), flags.0, flags.1, &file, 0) }?;
        Ok(JitDump { path, state: Mutex::new((file, 0)), mark: mark.expose_provenance() })
    }

    /// Where the file is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Listener for JitDump {
    fn published(&self, code: &Code<'_>) -> io::Result<()> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
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

impl Drop for JitDump {
    fn drop(&mut self) {
        let mark = std::ptr::with_exposed_provenance_mut(self.mark);
        // SAFETY: one page that was mapped when this was created; nothing points into it.
        let unmapped = unsafe { rustix::mm::munmap(mark, rustix::param::page_size()) };
        debug_assert!(unmapped.is_ok(), "munmap of what was mapped: {unmapped:?}");
    }
}

/// The clock that `perf record -k mono` uses.
fn nanoseconds() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    u64::try_from(now.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(now.tv_nsec).unwrap_or(0)
}
