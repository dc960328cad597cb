//! The engine, and what callers do with it: the only place with methods of [`Engine`].

mod alloc;
mod audit;
mod content;
mod emit;
mod engine;
mod find;
mod free;
mod group;
mod maintain;
mod owned;
mod patch;
mod seal;
mod stats;

pub use audit::Violation;
pub use emit::DraftWriter;
pub use engine::Engine;
pub use find::Found;
pub use owned::{EngineOf, EngineRef, Owned};
pub use stats::{PoolStats, Stats};
