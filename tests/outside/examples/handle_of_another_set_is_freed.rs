//! error[E0271]: an engine takes handles of its own set of kinds only.
use execmem::{Engine, Live, kinds::Text};
use execmem_sim::Sim;

execmem_types::kinds! {
    pub enum Guest, types in guest {
        Drivers: Code = "drivers",
    }
}

pub fn free(engine: &Engine<Sim, Guest>, text: Live<Text>) {
    let _ = engine.free(text);
}

fn main() {}
