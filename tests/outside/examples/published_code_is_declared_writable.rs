//! error[E0277]: which stages are written is the engine's to say.
use execmem::{kinds::Text, stage};

struct Own;

impl execmem::Writes<Own> for stage::Live {}

fn write(engine: &execmem::Engine<execmem_linux::Linux>, live: &mut execmem::Live<Text>) {
    let _ = engine.write(live, 0, &[0xcc]);
}

fn main() {}
