//! The engine on the simulated machine: every table, every operation, every refusal.

mod refusals;
mod sequences;
