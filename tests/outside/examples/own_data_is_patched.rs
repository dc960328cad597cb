//! error[E0277]: only kinds of the class of code are patched.
use execmem::{Engine, Live};
use execmem_sim::Sim;

execmem_types::kinds! {
    pub enum Guest, types in guest {
        Drivers: Code = "drivers",
        Tables: Data = "tables",
    }
}

pub fn patch(engine: &Engine<Sim, Guest>, tables: &Live<guest::Tables>) {
    let _ = engine.patch(tables, 0, &[1]);
}

fn main() {}
