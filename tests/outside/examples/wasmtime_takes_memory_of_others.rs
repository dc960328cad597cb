//! error[E0308]: memory that others may command executes nothing for Wasmtime.
#[cfg(feature = "wasmtime")]
fn place(engine: std::sync::Arc<execmem::Engine<execmem_sim::Sim>>) -> execmem_wasmtime::CodeMemory {
    execmem_wasmtime::CodeMemory::new(engine)
}

fn main() {}
