//! Frames and heap run out at every point of an operation. What fails changes nothing.

use execmem::Error;
use execmem::kinds::Text;

use crate::kernel::code::ANSWER;
use crate::kernel::console::say;
use crate::kernel::engine::{KernelEngine, start};
use crate::kernel::{frames, heap};

/// The first allocation, with fewer frames than it needs.
pub(super) fn frames_run_out(engine: &KernelEngine) {
    let (in_use, before) = (frames::in_use(), engine.stats());
    let mut refusals = 0;
    let code = loop {
        frames::run_out(Some(refusals));
        let outcome = engine.alloc::<Text>(100);
        frames::run_out(None);
        match outcome {
            Ok(code) => break code,
            Err(_) => {
                assert_eq!(frames::in_use(), in_use, "a failure keeps no frame");
                assert_eq!(engine.stats(), before, "a failure changes nothing");
                engine.audit().expect("the engine's records agree");
            }
        }
        refusals += 1;
    };
    engine.free(code).expect("it is ours");
    assert!(refusals > 0);
    say!("frames run out: refused {refusals} times, nothing changed, then done");
}

/// The start of an engine, and the life of code, with less heap than they need.
pub(super) fn heap_runs_out(engine: &KernelEngine) {
    let mut refusals = starts_refused();
    let before = (frames::in_use(), engine.stats());
    let mut granted = 0;
    loop {
        heap::run_out(Some(granted));
        let outcome = one_life(engine);
        heap::run_out(None);
        engine.shrink();
        engine.audit().expect("the engine's records agree");
        if outcome.is_ok() {
            break;
        }
        assert_eq!(frames::in_use(), before.0, "a failure keeps no frame");
        assert_eq!(engine.stats().bytes_mapped(), before.1.bytes_mapped(), "a failure keeps no memory");
        (granted, refusals) = (granted + 1, refusals + 1);
    }
    assert!(granted > 0);
    say!("heap runs out: refused {refusals} times, nothing changed, then done");
}

/// How often an engine could not be made. Nothing is left of it.
fn starts_refused() -> usize {
    let before = heap::in_use();
    for granted in 0.. {
        heap::run_out(Some(granted));
        let outcome = start();
        heap::run_out(None);
        if outcome.is_ok() {
            return granted;
        }
        drop(outcome);
        assert_eq!(heap::in_use(), before, "a failure keeps no heap");
    }
    0
}

/// Allocates, writes, publishes and frees. Nothing is left of it, however it ends.
fn one_life(engine: &KernelEngine) -> Result<(), Error> {
    let mut code = engine.alloc::<Text>(ANSWER.bytes().len() as u64)?;
    if let Err(error) = engine.write(&mut code, 0, ANSWER.bytes()) {
        engine.free(code).map_err(|failed| failed.error)?;
        return Err(error);
    }
    let code = match engine.publish(code) {
        Ok(code) => code,
        Err(failed) => {
            engine.free(failed.handle).map_err(|failed| failed.error)?;
            return Err(failed.error);
        }
    };
    engine.free(code).map_err(|failed| failed.error)
}
