//! Models of what runs at the same time, searched by loom: `cargo xtask loom`.
//!
//! Each is a few calls in two threads, named after what it proves. Loom runs every order in which their locks and atomics
//! can follow each other, up to three preemptions. Every model fails when the line it guards is broken:
//! `cargo xtask loom --mutations` shows that.
#![cfg(all(loom, test))]
#![forbid(unsafe_code)]

mod engine;
mod live_map;
mod memory;
mod patching;
mod probes;
mod processor;
mod walks;

/// Words of the stack of a modelled thread. Those that loom gives by itself are too small for an engine.
const STACK_WORDS: usize = 1 << 16;

/// Starts a modelled thread.
fn spawn<T: Send + 'static>(body: impl FnOnce() -> T + Send + 'static) -> loom::thread::JoinHandle<T> {
    loom::thread::Builder::new().stack_size(STACK_WORDS).spawn(body).expect("loom starts what it is told to")
}

/// Runs a model in every order.
fn search(model: fn()) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(builder.preemption_bound.unwrap_or(3));
    builder.max_branches = 100_000;
    builder.check(move || spawn(model).join().expect("no panic"));
}
