//! What this kernel does with engines. Each show prints a line, and ends with all memory given back.

mod callers;
mod costs;
mod flushes;
#[cfg(not(feature = "one-engine"))]
mod interrupts;
#[cfg(not(feature = "one-engine"))]
mod kinds;
mod life;
mod module;
mod refusals;

use super::arch;
use super::console::say;
use super::engine::{self, KernelEngine, TABLE};
use super::frames;
use super::memory::KernelMemory;

/// All of them. `memory` is what engines are not made of.
pub(crate) fn run(memory: &KernelMemory) {
    say!("table: a constant, for the machine `{}`", TABLE.machine().name);
    show(life::life);
    show(life::faults);
    show(life::entries);
    show(callers::in_one_block);
    show(callers::patched_while_called);
    show(module::life);
    show(refusals::frames_run_out);
    show(refusals::heap_runs_out);
    with_other_engines();
    say!("audit: nothing was left, after each of these");
    costs::measure();
    flushes::lost(memory);
}

/// Those with engines of other types.
#[cfg(not(feature = "one-engine"))]
fn with_other_engines() {
    let before = frames::in_use();
    kinds::own().expect("room for each kind");
    interrupts::off_in_all().expect("room");
    assert_eq!(frames::in_use(), before, "all frames are back");
}

#[cfg(feature = "one-engine")]
fn with_other_engines() {}

/// Runs a show with an engine of its own.
fn show(body: impl FnOnce(&KernelEngine)) {
    let before = frames::in_use();
    let engine = engine::start().expect("an engine");
    body(&engine);
    check_empty(&engine);
    assert_eq!(frames::in_use(), before, "all frames are back");
}

/// Checks that nothing is left.
fn check_empty(engine: &KernelEngine) {
    engine.audit_unused().expect("what is free holds what unused memory holds");
    engine.shrink();
    engine.audit().expect("the engine's records agree");
    assert_eq!(engine.stats().bytes_mapped(), 0, "everything is unmapped");
    assert!(arch::interrupts_are_on(), "nothing left them off");
}
