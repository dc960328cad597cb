//! The front door: an engine in one call, the one that the process shares, functions that are called by their types, and
//! what adapters for other interfaces need.

mod by_address;
mod function;
mod handle;
mod shared;
mod writable;

pub use by_address::ByAddress;
pub use function::Function;
pub use handle::EngineHandle;
pub use shared::{shared, shared_with};
pub use writable::writable;
