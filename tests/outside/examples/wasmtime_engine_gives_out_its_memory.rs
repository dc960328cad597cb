//! error[E0599]: the engine behind Wasmtime hands out facts as well.
#[cfg(feature = "wasmtime")]
fn overwrite(memory: &execmem_wasmtime::CodeMemory, address: u64) {
    use execmem::Backend as _;
    let _ = memory.engine().backend().write(execmem_types::Access::Poke, address, &[0xcc]);
}

fn main() {}
