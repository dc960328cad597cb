//! The engine on the simulated machine: every table, every operation, every refusal.

mod alignment;
mod callers;
mod contents;
mod contexts;
mod donations;
mod groups;
mod growth;
mod hooks;
mod kinds;
mod locking;
mod lookup;
mod ownership;
mod patching;
mod refusals;
mod sealing;
mod sequences;
mod shards;
mod stack;
mod windows;
