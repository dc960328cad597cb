//! What can go wrong beyond what Wasmtime itself refuses.

use thiserror::Error;

/// Why a module was refused. No memory is left taken.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// The memory refused.
    #[error(transparent)]
    Memory(#[from] execmem::Error),
    /// Executable memory could not be set up.
    #[error(transparent)]
    Setup(#[from] execmem_linux::SetupError),
    /// Wasmtime refused the module or the image.
    #[error("{0:#}")]
    Wasmtime(wasmtime::Error),
    /// Memory of execmem in which this engine has no image: it was placed for another.
    #[error("the image at {address:#x} was not placed in the memory that the engine was configured with")]
    NotPlaced {
        /// Where it lies.
        address: usize,
    },
    /// The system refused to make code executable that Wasmtime mapped itself.
    #[error("code at {address:#x} cannot become executable: {source}")]
    Rights {
        /// Where it lies.
        address: usize,
        /// What the system says.
        source: std::io::Error,
    },
    /// The engine was not configured with this memory.
    #[error("the engine has another code memory; configure it with `CodeMemory::serve`")]
    OtherMemory,
    /// The engine interprets code instead of executing it.
    #[error("the engine interprets bytecode, which needs no executable memory")]
    Interpreter,
    /// More than the addresses of this machine.
    #[error("an image at {address:#x} does not fit this machine's addresses")]
    NoAddress {
        /// Where it would lie.
        address: u64,
    },
}
