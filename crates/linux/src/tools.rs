//! What profilers, debuggers and unwinders want to know about code: its name, its bytes, how to leave it.
//!
//! A `Listener` is told what is published and what is freed. Each has a feature of its own:
//!
//! | feature | type | for |
//! |---|---|---|
//! | `perf` | `PerfMap` | `perf report` with names, by `/tmp/perf-PID.map` |
//! | `perf` | `JitDump` | `perf inject --jit` with names and instructions, by `jit-PID.dump` |
//! | `gdb` | `Gdb` | backtraces with names in gdb and lldb, by GDB's JIT interface |
//! | `unwind` | `Frames` | unwinding through code, by `__register_frame` |

#[cfg(feature = "perf")]
mod file;
#[cfg(feature = "gdb")]
mod gdb;
#[cfg(feature = "perf")]
mod jitdump;
#[cfg(feature = "perf")]
mod perf_map;
#[cfg(feature = "unwind")]
mod unwind;

use std::fmt::Debug;
use std::io;

#[cfg(feature = "gdb")]
pub use gdb::Gdb;
#[cfg(feature = "perf")]
pub use jitdump::JitDump;
#[cfg(feature = "perf")]
pub use perf_map::PerfMap;
#[cfg(feature = "unwind")]
pub use unwind::Frames;

/// Code that was published.
#[derive(Debug, Clone, Copy)]
pub struct Code<'c> {
    /// Its name.
    pub name: &'c str,
    /// Address of its first byte.
    pub address: u64,
    /// Its bytes.
    pub bytes: &'c [u8],
}

/// A tool that wants to know what code has which name.
pub trait Listener: Debug + Send + Sync {
    /// Code was published, or other code took its place.
    ///
    /// # Errors
    ///
    /// What writing it down says. The code is published all the same.
    fn published(&self, code: &Code<'_>) -> io::Result<()>;

    /// The code at an address is about to be freed.
    fn freed(&self, address: u64);
}
