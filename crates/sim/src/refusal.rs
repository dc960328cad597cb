//! Why a policy could not serve a load.

use execmem_types::BackendError;

/// Why a policy could not serve a load. Nothing of the load stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The window has no room.
    #[error("no room for {bytes:#x} bytes in the window")]
    NoRoom {
        /// Bytes wanted.
        bytes: u64,
    },
    /// The machine refused.
    #[error("{0}")]
    Backend(#[from] BackendError),
    /// An allocator of another crate refused for a reason of its own.
    #[error("the allocator refused")]
    Allocator,
}
