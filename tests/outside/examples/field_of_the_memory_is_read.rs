//! error[E0616]: what an engine is made of is private.
use execmem::{Backend as _, Engine, Extent};
use execmem_linux::Linux;

fn unmap(engine: &Engine<Linux>, extent: Extent) {
    let _ = engine.memory.unmap(extent);
}

fn main() {}
