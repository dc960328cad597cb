//! The engine on the simulated machine: every table, every operation, every refusal.

mod alignment;
mod contents;
mod donations;
mod groups;
mod growth;
mod locking;
mod lookup;
mod refusals;
mod sealing;
mod sequences;
mod shards;
mod stack;
mod windows;
