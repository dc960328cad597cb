//! How many system calls does a piece of a program make? Counted from outside, by tracing a child process.
//!
//! The child calls [`wait_for_counter`], then [`mark`], does its work, and calls [`mark`] again. The parent starts it
//! with [`count`], which returns how many system calls all threads of the child made between the two marks.
//!
//! ```standalone_crate
//! use std::process::Command;
//!
//! use execmem_syscalls::{count, mark, wait_for_counter};
//!
//! if std::env::var_os("COUNTED").is_some() {
//!     wait_for_counter()?;
//!     mark()?;
//!     println!("one call: a line is written");
//!     mark()?;
//!     return Ok(());
//! }
//! let mut again = Command::new(std::env::current_exe()?);
//! assert_eq!(count(again.env("COUNTED", "1"))?, 1);
//! # Ok::<(), std::io::Error>(())
//! ```
#![forbid(unsafe_code)]

use std::collections::HashMap;
use std::io::{self, Read as _, Write as _};
use std::process::{ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use nix::errno::Errno;
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::{Signal, raise};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

/// What the child sends itself.
const MARK: Signal = Signal::SIGUSR1;

/// In the child: returns when the parent is ready to count.
///
/// # Errors
///
/// If standard input cannot be read.
pub fn wait_for_counter() -> io::Result<()> {
    io::stdin().read_exact(&mut [0])
}

/// In the child: the count begins, or ends. Only under [`count`]: otherwise it ends the process.
///
/// The signal goes to the calling thread. One that went to the process might stop another thread, and this one would
/// run on and end both before anybody noticed.
///
/// # Errors
///
/// If the thread may not send itself a signal.
pub fn mark() -> io::Result<()> {
    // The first mark is made twice with nothing between: so what a mark costs is known, and is not counted.
    static HAS_BEGUN: AtomicBool = AtomicBool::new(false);
    if !HAS_BEGUN.swap(true, Ordering::Relaxed) {
        raise(MARK)?;
    }
    Ok(raise(MARK)?)
}

/// In the parent: runs a child and counts its system calls between its marks. Takes the child's standard input.
///
/// No other child that the calling thread has started may be left: the status it ends with would get lost.
///
/// # Errors
///
/// If the child cannot be started, may not be traced, or ends before its second mark.
pub fn count(command: &mut Command) -> io::Result<u64> {
    let mut child = command.stdin(Stdio::piped()).spawn()?;
    let main = Pid::from_raw(child.id().cast_signed());
    let counted = trace(main, child.stdin.take());
    if counted.is_err() {
        let _ = child.kill();
    }
    let_end(main);
    counted
}

/// The next that a child or a thread of one has to tell.
fn next() -> nix::Result<WaitStatus> {
    loop {
        match waitpid(None, Some(WaitPidFlag::__WALL | WaitPidFlag::__WNOTHREAD)) {
            Err(Errno::EINTR) => {}
            outcome => return outcome,
        }
    }
}

/// Waits until the child has ended. Threads that were on their way out are let go first, and their ends are taken note
/// of: a process ends after all its threads, and a traced thread when its tracer knows.
fn let_end(main: Pid) {
    while let Ok(status) = next() {
        match (status, status.pid()) {
            (WaitStatus::Exited(..) | WaitStatus::Signaled(..), thread) if thread == Some(main) => return,
            (_, Some(thread)) => drop(ptrace::detach(thread, None)),
            (_, None) => {}
        }
    }
}

/// Counts what the child does between its marks, and leaves it behind the second. Says through `ready` that it may begin.
fn trace(main: Pid, mut ready: Option<ChildStdin>) -> io::Result<u64> {
    ptrace::seize(main, Options::PTRACE_O_TRACESYSGOOD | Options::PTRACE_O_TRACECLONE)?;
    ptrace::interrupt(main)?;
    let (mut calls, mut calls_per_mark, mut marks) = (0_u64, 0, 0);
    let mut inside: HashMap<Pid, bool> = HashMap::new();
    loop {
        let status = next()?;
        let Some(thread) = status.pid() else { continue };
        match status {
            WaitStatus::PtraceSyscall(_) => {
                let is_inside = inside.entry(thread).or_default();
                *is_inside = !*is_inside;
                calls += u64::from(*is_inside);
            }
            WaitStatus::Stopped(_, MARK) => {
                marks += 1;
                match marks {
                    1 => {}
                    2 => calls_per_mark = calls,
                    _ => {
                        ptrace::detach(thread, None)?;
                        return Ok(calls.saturating_sub(calls_per_mark));
                    }
                }
                calls = 0;
            }
            WaitStatus::PtraceEvent(..) => {
                if let Some(mut ready) = ready.take() {
                    ready.write_all(b"x")?;
                }
            }
            WaitStatus::Exited(..) | WaitStatus::Signaled(..) if thread == main => {
                return Err(io::Error::other(format!("the traced process ended before its second mark: {status:?}")));
            }
            WaitStatus::Exited(..) | WaitStatus::Signaled(..) => continue,
            _ => {}
        }
        ptrace::syscall(thread, None)?;
    }
}
