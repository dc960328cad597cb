//! error[E0599]: facts tell of the memory and change nothing.
use execmem::{Backend as _, Engine, Extent};
use execmem_linux::Linux;

fn unmap(engine: &Engine<Linux>, extent: Extent) {
    let _ = engine.facts().unmap(extent);
}

fn main() {}
