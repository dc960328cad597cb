//! `/tmp/perf-PID.map`: a line of start, size and name for each piece of code (tools/perf/Documentation/jit-interface.txt
//! of Linux).

use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use super::{Code, Listener, file};
use crate::per_process::PerProcess;

/// A map of names for `perf`. A forked child that publishes code has one of its own, which begins with its parent's lines.
#[derive(Debug)]
pub struct PerfMap {
    folder: PathBuf,
    own: PerProcess<Lines>,
}

/// The map of one process.
#[derive(Debug)]
struct Lines {
    file: File,
}

/// Where the map of this process is in a folder.
fn path_in(folder: &Path) -> PathBuf {
    folder.join(format!("perf-{}.map", std::process::id()))
}

impl Lines {
    fn create_in(folder: &Path) -> io::Result<Self> {
        Ok(Lines { file: file::open(&path_in(folder))? })
    }

    /// The map of a child: the code that its parent published is there too.
    fn of_child(&self, folder: &Path) -> io::Result<Self> {
        let own = Lines::create_in(folder)?;
        let (mut part, mut at) = ([0; 4096], 0);
        loop {
            match self.file.read_at(&mut part, at)? {
                0 => return Ok(own),
                len => {
                    (&own.file).write_all(&part[..len])?;
                    at += len as u64;
                }
            }
        }
    }
}

impl PerfMap {
    /// The map of this process, where `perf` looks for it.
    ///
    /// # Errors
    ///
    /// If the file cannot be created; if there is one by that name that another user has, or that has another name too, or
    /// that is no file. Then nothing is written.
    pub fn create() -> io::Result<Self> {
        PerfMap::create_in(Path::new("/tmp"))
    }

    /// The map of this process in another folder.
    ///
    /// # Errors
    ///
    /// As [`create`](Self::create).
    pub fn create_in(folder: &Path) -> io::Result<Self> {
        let own = PerProcess::new(Lines::create_in(folder)?)?;
        Ok(PerfMap { folder: folder.to_owned(), own })
    }

    /// Where the file of this process is; of a child, once it published something.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        path_in(&self.folder)
    }
}

impl Listener for PerfMap {
    fn published(&self, code: &Code<'_>) -> io::Result<()> {
        let own = self.own.get_or_make(|parent| parent.of_child(&self.folder))?;
        // A line each; a name with a line end in it would be two.
        let name = code.name.replace(['\n', '\r'], " ");
        let line = format!("{:x} {:x} {name}\n", code.address, code.bytes.len());
        // One write, so that lines of threads do not mix.
        (&own.file).write_all(line.as_bytes())
    }

    /// The format has no way to say so; the code that gets the address next replaces the name.
    fn freed(&self, _address: u64) {}
}
