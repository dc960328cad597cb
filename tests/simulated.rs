//! What needs a simulated machine, and nothing of the one it runs on.

mod clients;
mod engine;
mod module;
mod sim;
mod tables;
