//! What every process has for itself: a forked child makes its own when it first asks, and leaves its parent's alone.

use std::fmt::Debug;

use once_cell::race::OnceBox;
use rustix::io::Errno;

use crate::fork::Mark;

/// A value of the process that made it, and of each process that is forked from it and asks for one.
///
/// No lock is involved that another thread could hold while the process is forked.
pub(crate) struct PerProcess<T> {
    mark: Mark,
    value: T,
    child: OnceBox<PerProcess<T>>,
}

/// Why a process could not be told from its parent.
#[derive(Debug)]
pub(crate) struct Refused(Errno);

impl From<Refused> for std::io::Error {
    fn from(Refused(errno): Refused) -> Self {
        errno.into()
    }
}

impl From<Refused> for crate::SetupError {
    fn from(Refused(errno): Refused) -> Self {
        crate::SetupError::NoAddresses { bytes: 0, errno: errno.raw_os_error() }
    }
}

impl<T> PerProcess<T> {
    /// The value of this process.
    pub(crate) fn new(value: T) -> Result<Self, Refused> {
        Ok(PerProcess { mark: Mark::of_this_process().map_err(Refused)?, value, child: OnceBox::new() })
    }

    /// The value of this process, if it has one.
    pub(crate) fn get(&self) -> Option<&T> {
        let mut node = self;
        while !node.mark.is_here() {
            node = node.child.get()?;
        }
        Some(&node.value)
    }

    /// The value of this process, which `make` makes of its parent's if it has none yet.
    pub(crate) fn get_or_make<E: From<Refused>>(&self, make: impl FnOnce(&T) -> Result<T, E>) -> Result<&T, E> {
        let mut node = self;
        while !node.mark.is_here() {
            node = match node.child.get() {
                Some(child) => child,
                None => {
                    let child = PerProcess::new(make(&node.value)?)?;
                    // Another thread may have been faster; the value of this one is dropped.
                    let _ = node.child.set(Box::new(child));
                    return self.get().ok_or_else(|| Refused(Errno::AGAIN).into());
                }
            };
        }
        Ok(&node.value)
    }
}

impl<T: Debug> Debug for PerProcess<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.get().fmt(f)
    }
}
