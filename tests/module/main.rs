//! The module loader: what it loads, what it refuses, and that refusing leaves nothing behind.

mod linker;
mod loads;
mod malformed;
mod objects;
mod sets;
