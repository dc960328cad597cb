//! error[E0277]: what Wasmtime calls is given to Wasmtime alone.
#[cfg(feature = "wasmtime")]
fn take(memory: execmem_wasmtime::CodeMemory) -> std::sync::Arc<dyn wasmtime::CustomCodeMemory> {
    std::sync::Arc::new(memory)
}

fn main() {}
