//! `/tmp/perf-PID.map`: a line of start, size and name for each piece of code (tools/perf/Documentation/jit-interface.txt
//! of Linux).

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use super::{Code, Listener};

/// A map of names for `perf`.
#[derive(Debug)]
pub struct PerfMap {
    file: File,
    path: PathBuf,
}

impl PerfMap {
    /// The map of this process, where `perf` looks for it.
    ///
    /// # Errors
    ///
    /// If the file cannot be created, or is a link that somebody else put there.
    pub fn create() -> io::Result<Self> {
        PerfMap::create_in(Path::new("/tmp"))
    }

    /// The map of this process in another folder.
    ///
    /// # Errors
    ///
    /// As [`create`](Self::create).
    pub fn create_in(folder: &Path) -> io::Result<Self> {
        let path = folder.join(format!("perf-{}.map", std::process::id()));
        let file =
            OpenOptions::new().create(true).append(true).custom_flags(libc::O_NOFOLLOW).mode(0o600).open(&path)?;
        Ok(PerfMap { file, path })
    }

    /// Where the file is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Listener for PerfMap {
    fn published(&self, code: &Code<'_>) -> io::Result<()> {
        // A line each; a name with a line end in it would be two.
        let name = code.name.replace(['\n', '\r'], " ");
        let line = format!("{:x} {:x} {name}\n", code.address, code.bytes.len());
        // One write, so that lines of threads do not mix.
        (&self.file).write_all(line.as_bytes())
    }

    /// The format has no way to say so; whoever gets the address next replaces the name.
    fn freed(&self, _address: u64) {}
}
