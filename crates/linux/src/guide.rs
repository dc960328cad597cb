//! A guide: the first JIT, how to choose a way to publish, what a fork does.

#[doc = include_str!("../guide/ten-minutes.md")]
pub mod ten_minutes {}

#[doc = include_str!("../guide/publishing.md")]
pub mod publishing {}

#[doc = include_str!("../guide/fork.md")]
pub mod fork {}
