//! error[E0599]: an engine hands out facts, not the memory that could overwrite live code.
use execmem::{Backend as _, Engine, kinds::Text};
use execmem_linux::Linux;
use execmem_types::Access;

fn overwrite(engine: &Engine<Linux>, victim: &execmem::Live<Text>) {
    let _ = engine.backend().write(Access::Poke, victim.address(), &[0xcc]);
}

fn main() {}
