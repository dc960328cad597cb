//! What can go wrong when a memory is set up.

use execmem_linux::Publish;
use thiserror::Error;

/// Why there is no memory for thunks. No memory is left taken.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// The engine refused.
    #[error(transparent)]
    Memory(#[from] execmem::Error),
    /// Executable memory could not be set up.
    #[error(transparent)]
    Setup(#[from] execmem_linux::SetupError),
    /// No writable pointer leads to code: it is mapped once, or its writable views are hidden.
    #[error("code that is published by {publish:?} has no writable view that stays open")]
    NoWritableView {
        /// How the engine publishes.
        publish: Publish,
    },
}
