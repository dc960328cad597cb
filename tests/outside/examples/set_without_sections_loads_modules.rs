//! error[E0277]: a set loads modules if it says which of its kinds sections go to.
use execmem::Engine;
use execmem_clients::module::Loader;
use execmem_sim::Sim;

execmem_types::kinds! {
    pub enum Guest, types in guest {
        Drivers: Code = "drivers",
    }
}

pub fn load(engine: &Engine<Sim, Guest>) {
    let _ = Loader::new(engine);
}

fn main() {}
