//! What can go wrong beyond what Cranelift itself refuses.

use cranelift_codegen::binemit::Reloc;
use cranelift_module::ModuleError;
use thiserror::Error;

/// Why the module refused. What was defined and finalized before is as it was.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// The memory refused.
    #[error(transparent)]
    Memory(#[from] execmem::Error),
    /// Executable memory could not be set up.
    #[error(transparent)]
    Setup(#[from] execmem_linux::SetupError),
    /// Cranelift has no code generator for this machine.
    #[error("no code generator for this machine: {reason}")]
    NoCodeGenerator {
        /// What Cranelift says.
        reason: &'static str,
    },
    /// A name that nothing defines.
    #[error("{name} is not defined, and no symbol is called so")]
    Unresolved {
        /// The name.
        name: String,
    },
    /// The target is out of reach and the reference is none that a veneer could serve.
    #[error("{kind:?} at {site:#x} does not reach {target:#x}")]
    OutOfReach {
        /// The kind of reference.
        kind: Reloc,
        /// Where it stands.
        site: u64,
        /// What it should reach.
        target: u64,
    },
    /// A kind of reference this crate does not know.
    #[error("references of kind {kind:?} are not supported")]
    UnknownReference {
        /// The kind.
        kind: Reloc,
    },
    /// A reference outside the bytes it belongs to.
    #[error("a reference at offset {offset:#x} lies outside {len:#x} bytes")]
    BadOffset {
        /// Where it claims to be.
        offset: u32,
        /// How many bytes there are.
        len: usize,
    },
    /// What should be freed or replaced is not there.
    #[error("{name} is not defined")]
    NotDefined {
        /// Its name.
        name: String,
    },
    /// Other code or data still refers to what should be freed.
    #[error("{name} is referred to by {count} others; free them first or with it")]
    StillReferenced {
        /// Its name.
        name: String,
        /// How many functions and data objects refer to it.
        count: usize,
    },
    /// Only modules built with [`Builder::hot_swap`](crate::Builder::hot_swap) can replace functions.
    #[error("functions of this module cannot be replaced: it was not built for hot swap")]
    NotSwappable,
    /// Thread-local data, which this crate does not place.
    #[error("thread-local data is not supported")]
    ThreadLocal,
    /// The engine writes code through another mapping; the provider needs one whose rights flip.
    #[error("the provider needs an engine over one mapping whose rights flip (Publish::Flip)")]
    NotFlipping,
}

impl From<Error> for ModuleError {
    fn from(error: Error) -> Self {
        match error {
            Error::Memory(error) => ModuleError::Allocation { err: std::io::Error::other(error) },
            other => ModuleError::Backend(anyhow::Error::new(other)),
        }
    }
}
