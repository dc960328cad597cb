//! What a crate outside the workspace can do with execmem, and what it cannot: `cargo xtask outside`.
//!
//! `examples/control.rs` compiles and runs; it asks for what is refused when the program runs as well. Each other example is
//! an attack that does not compile, for the reason that its first line gives.
