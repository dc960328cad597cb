//! The one seam to the backend: everything that makes memory, changes it, or tells about that. What a step did is undone
//! where it fails.

mod hooks;
mod mapping;
mod row;
mod seam;

pub use hooks::{Hooked, Hooks, Memory, NoHooks};
pub(crate) use mapping::Blocks;
pub(crate) use row::PoolRow;
pub(crate) use seam::Seam;
